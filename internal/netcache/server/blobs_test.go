package server_test

import (
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/netcache/server"
)

// What a collection must keep.
func TestBlobsAreNamed(t *testing.T) {
	kept := server.NewShelf(t)
	var names []string
	err := kept.Blobs(t.Context(), func(name string, _ digest.Digest, _ int64) error { names = append(names, name); return nil })
	if err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
	want, _, err := kept.PutBlob(t.Context(), strings.NewReader("x"), "", -1, server.MaxBlob)
	if err != nil {
		t.Fatal(err)
	}
	err = kept.Blobs(t.Context(), func(name string, d digest.Digest, n int64) error {
		names = append(names, name)
		if d != digest.Of([]byte("x")) || n != 1 {
			t.Errorf("%s is %s, %d bytes", name, d, n)
		}
		return nil
	})
	if err != nil || len(names) != 1 || names[0] != want {
		t.Errorf("%v, %v", names, err)
	}
}
