package apt

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"

	"overland/internal/deb"
	"overland/internal/origin"
)

// TestThisMachinesKeysVerifyWhatItsSourcesSign asks each archive for its
// InRelease and alters it in one place.
func TestThisMachinesKeysVerifyWhatItsSourcesSign(t *testing.T) {
	sources, err := MachineSources()
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(sources, Options{})
	if err != nil {
		t.Fatal(err)
	}
	up := &origin.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	defer up.Transport.(*http.Transport).CloseIdleConnections()
	seen := 0
	for _, a := range p.archives {
		for _, s := range a.suites {
			f, err := up.Get(context.Background(), origin.Request{URL: a.uri.JoinPath(s.dir, "InRelease").String()})
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(f.Body)
			f.Close()
			if err != nil {
				t.Fatal(err)
			}
			keys, err := deb.KeysFor(s.signedBy, p.dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, signer, err := deb.VerifyInRelease(b, keys, p.now()); err != nil || len(signer) < 40 {
				t.Errorf("%s: %v", s.dir, err)
			}
			i := bytes.Index(b, []byte("SHA256:")) + 20
			b[i] ^= 1
			if _, _, err := deb.VerifyInRelease(b, keys, p.now()); err == nil {
				t.Errorf("%s: altered, and taken", s.dir)
			}
			seen++
		}
	}
	if seen == 0 {
		t.Fatal("no archive in this machine's sources")
	}
}
