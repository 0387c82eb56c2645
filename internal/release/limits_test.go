package release_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/store"
)

// A release whose service asks a node to wait longer than any may is neither written nor, from
// whoever wrote it, read: the setting is named.
func TestS15AServiceThatHoldsUpANodeIsRefused(t *testing.T) {
	s, _ := depot(t)
	r := wallet(t, s)
	node := r.Services["node"]
	node.SelfTest = []appfile.Check{{TCP: "127.0.0.1:1", Within: appfile.Duration(57 * time.Minute)}}
	r.Services["node"] = node
	index := written(t, s, r)
	const want = `service "node": selftest: within 99h0m0s: at most 1h0m0s`
	node.SelfTest = []appfile.Check{{TCP: "127.0.0.1:1", Within: appfile.Duration(99 * time.Hour)}}
	if _, err := release.Write(t.Context(), s, r); err != nil {
		t.Errorf("before it was changed: %v", err)
	}
	r.Services["node"] = node
	if _, err := release.Write(t.Context(), s, r); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), want) {
		t.Errorf("write: %v", err)
	}

	// The same document, written by somebody who leaves out the check.
	get := func(d digest.Digest) []byte {
		b, err := s.Bytes(t.Context(), d, release.MaxJSON)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	put := func(b []byte) digest.Digest {
		d, err := store.PutBytes(t.Context(), s, b)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	var list ocispec.Index
	var manifest ocispec.Manifest
	if err := json.Unmarshal(get(index.Digest), &list); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(get(list.Manifests[0].Digest), &manifest); err != nil {
		t.Fatal(err)
	}
	swap := func(in, old, by digest.Digest) digest.Digest {
		return put(bytes.ReplaceAll(get(in), []byte(old), []byte(by)))
	}
	forged := 0
	for _, d := range append(manifest.Layers, manifest.Config) {
		doc := bytes.ReplaceAll(get(d.Digest), []byte(`"57m0s"`), []byte(`"99h0m0s"`))
		if bytes.Equal(doc, get(d.Digest)) {
			continue
		}
		forged++
		doc = bytes.Replace(doc, []byte(`127.0.0.1:1"`), []byte(`[::1]:111"`), 1) // as long as before
		m := swap(list.Manifests[0].Digest, d.Digest, put(doc))
		if _, err := release.Read(t.Context(), s, swap(index.Digest, list.Manifests[0].Digest, m)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("read: %v", err)
		}
	}
	if forged != 1 {
		t.Errorf("%d documents hold the self-test", forged)
	}
}
