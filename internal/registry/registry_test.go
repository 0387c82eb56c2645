package registry

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/db"
	"overland/internal/db/sqlite"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

const repo, ann = Name("a"), "ann"

// open opens a registry in dir, as a process does.
func open(t *testing.T, dir string, o Options) (*Registry, *storedir.Store, *db.DB) {
	t.Helper()
	blobs, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	facts, err := sqlite.Open(t.Context(), filepath.Join(dir, "site.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = facts.Close() })
	r, err := Open(blobs, facts, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r, blobs, facts
}

func sha512Of(b []byte) Digest { return Digest(fmt.Sprintf("sha512:%x", sha512.Sum512(b))) }

// An upload survives its process, and is resumed by the next one; its sha512 holds then too.
func TestAnUploadIsResumed(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	text := []byte("hello, world")
	for _, d := range []Digest{Digest(digest.Of(text)), sha512Of(text)} {
		first, _, _ := open(t, dir, Options{})
		id, err := first.Begin(ctx, repo, ann, d.Algorithm())
		if err != nil {
			t.Fatal(err)
		}
		if n, err := first.Write(ctx, repo, ann, id, 0, bytes.NewReader(text[:5]), 5); n != 5 || err != nil {
			t.Fatal(n, err)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		r, _, _ := open(t, dir, Options{})
		if n, err := r.Offset(ctx, repo, ann, id); n != 5 || err != nil {
			t.Fatalf("after a restart: %d, %v", n, err)
		}
		if n, err := r.Write(ctx, repo, ann, id, 5, bytes.NewReader(text[5:]), -1); n != int64(len(text)) || err != nil {
			t.Fatal(n, err)
		}
		if err := r.Finish(ctx, repo, ann, id, d); err != nil {
			t.Fatal(err)
		}
		b, err := r.Blob(ctx, repo, d, false)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(b)
		if err := errors.Join(err, b.Close()); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %q, %v", d, got, err)
		}
		if _, err := r.Offset(ctx, repo, ann, id); CodeOf(err) != BlobUploadUnknown {
			t.Errorf("after its end: %v", err)
		}
	}
}

// Bytes that are not what the client says are dropped, whichever name it gives them.
func TestOtherBytesAreRefused(t *testing.T) {
	ctx := t.Context()
	r, blobs, _ := open(t, t.TempDir(), Options{})
	for _, d := range []Digest{Digest(digest.Of([]byte("good"))), sha512Of([]byte("good"))} {
		id, err := r.Begin(ctx, repo, ann, d.Algorithm())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Write(ctx, repo, ann, id, -1, strings.NewReader("evil"), 4); err != nil {
			t.Fatal(err)
		}
		if err := r.Finish(ctx, repo, ann, id, d); CodeOf(err) != DigestInvalid || errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", d, err)
		}
		if _, err := r.Blob(ctx, repo, d, false); CodeOf(err) != BlobUnknown {
			t.Errorf("%s is there: %v", d, err)
		}
	}
	none := func(id string, _ int64, _ time.Time) error { t.Errorf("%s is left", id); return nil }
	if err := blobs.Pending(ctx, "", none); err != nil {
		t.Error(err)
	}
}

// A body that ends early leaves what came, and its client is told where to go on.
func TestABodyThatEndsEarly(t *testing.T) {
	ctx := t.Context()
	r, _, _ := open(t, t.TempDir(), Options{})
	id, err := r.Begin(ctx, repo, ann, "")
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.Write(ctx, repo, ann, id, 0, strings.NewReader("abc"), 9)
	if n != 3 || CodeOf(err) != SizeInvalid {
		t.Errorf("%d, %v", n, err)
	}
	n, err = r.Write(ctx, repo, ann, id, 0, strings.NewReader("abc"), 3)
	if n != 3 || !errors.Is(err, ErrRange) {
		t.Errorf("from the start again: %d, %v", n, err)
	}
	if n, err = r.Write(ctx, repo, ann, id, 3, strings.NewReader("def"), 3); n != 6 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if err := r.Cancel(ctx, repo, ann, id); err != nil {
		t.Error(err)
	}
	if err := r.Cancel(ctx, repo, ann, id); CodeOf(err) != BlobUploadUnknown {
		t.Errorf("again: %v", err)
	}
}

// What a push that was never finished left goes after a day; what was pushed stays, and so does an upload that goes on.
func TestSweep(t *testing.T) {
	ctx, now := t.Context(), time.Now()
	o := Options{Sparse: true, Now: func() time.Time { return now }}
	dir := t.TempDir()
	r, blobs, _ := open(t, dir, o)
	used, left := put(t, r, "used"), put(t, r, "left")
	m := fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q,"size":4},"layers":[]}`, used)
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	if _, err := r.Put(ctx, repo, Reference{Tag: "v1"}, nil, mediaType, []byte(m)); err != nil {
		t.Fatal(err)
	}
	begin := func(in *Registry) string {
		t.Helper()
		id, err := in.Begin(ctx, repo, ann, "")
		if err == nil {
			_, err = in.Write(ctx, repo, ann, id, -1, strings.NewReader("x"), 1)
		}
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	other, _, _ := open(t, dir, o)
	dead := begin(other)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	goesOn := begin(r)
	now = now.Add(uploadLife + time.Second)
	checked := put(t, r, "left, and asked for again")
	if b, err := r.Blob(ctx, repo, checked, true); err != nil || b.Close() != nil {
		t.Fatal(err)
	}
	if err := r.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	for d, there := range map[Digest]bool{used: true, left: false, checked: true} {
		b, err := r.Blob(ctx, repo, d, false)
		if (err == nil) != there {
			t.Errorf("%s: %v, want %v", d, err, there)
		}
		if err == nil {
			b.Close()
		}
	}
	if _, err := r.Offset(ctx, repo, ann, dead); CodeOf(err) != BlobUploadUnknown {
		t.Errorf("an upload of yesterday: %v", err)
	}
	if n, err := r.Offset(ctx, repo, ann, goesOn); n != 1 || err != nil {
		t.Errorf("an upload that goes on: %d, %v", n, err)
	}
	kept := map[string]bool{}
	if err := blobs.Pending(ctx, "", func(id string, _ int64, _ time.Time) error { kept[id] = true; return nil }); err != nil || kept[dead] || !kept[goesOn] {
		t.Errorf("%v, %v", kept, err)
	}
}

// put pushes text as a blob and returns its name.
func put(t *testing.T, r *Registry, text string) Digest {
	t.Helper()
	d := Digest(digest.Of([]byte(text)))
	id, err := r.Begin(t.Context(), repo, ann, "")
	if err == nil {
		_, err = r.Write(t.Context(), repo, ann, id, -1, strings.NewReader(text), -1)
	}
	if err == nil {
		err = r.Finish(t.Context(), repo, ann, id, d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// An upload whose file was closed, since nobody sent anything, goes on.
func TestAnIdleUploadIsClosed(t *testing.T) {
	ctx := t.Context()
	r, blobs, _ := open(t, t.TempDir(), Options{})
	id, err := r.Begin(ctx, repo, ann, "sha512")
	if err == nil {
		_, err = r.Write(ctx, repo, ann, id, -1, strings.NewReader("ab"), 2)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.closeIdle(time.Now().Add(-time.Hour)) // in use a moment ago
	if _, err := blobs.Begin(ctx, id, -1); !errors.Is(err, store.ErrBusy) {
		t.Errorf("it was closed: %v", err)
	}
	r.closeIdle(time.Now().Add(time.Hour))
	if len(r.uploads) != 0 {
		t.Error("it is still open")
	}
	if n, err := r.Write(ctx, repo, ann, id, 2, strings.NewReader("c"), 1); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if err := r.Finish(ctx, repo, ann, id, sha512Of([]byte("abc"))); err != nil {
		t.Error(err)
	}
}

// Whoever waits for an upload that another request is at work on gives up with its client.
func TestARequestWaitsForTheOther(t *testing.T) {
	r, _, _ := open(t, t.TempDir(), Options{})
	id, err := r.Begin(t.Context(), repo, ann, "")
	if err != nil {
		t.Fatal(err)
	}
	_, release, err := r.take(t.Context(), repo, ann, id)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Write(ctx, repo, ann, id, -1, strings.NewReader("x"), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestNames(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "a/b-c/d__e.f": true, "": false, "A": false, "a/": false, "/a": false, "a//b": false, "..": false, "a/../b": false, "a b": false,
		strings.Repeat("a", 255): true, strings.Repeat("a", 256): false, "a\n": false,
	} {
		if _, err := ParseName(s); (err == nil) != want {
			t.Errorf("name %q: %v", s, err)
		}
	}
	for s, want := range map[string]bool{
		string(sha512Of(nil)): true, string(digest.Of(nil)): true, "sha256:": false, "sha1:" + strings.Repeat("0", 40): false,
		strings.ToUpper(string(digest.Of(nil))): false, "sha512:" + digest.Of(nil).Encoded(): false, "latest": false,
	} {
		if _, err := ParseDigest(s); (err == nil) != want {
			t.Errorf("digest %q: %v", s, err)
		}
	}
	for s, want := range map[string]bool{"v1": true, "_": true, ".v": false, "-v": false, "a/b": false, "": false, strings.Repeat("a", 129): false} {
		if _, err := ParseReference(s); (err == nil) != want {
			t.Errorf("reference %q: %v", s, err)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`), "")
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"sha256:0","size":-1}}`), "application/vnd.oci.image.manifest.v1+json; charset=x")
	f.Fuzz(func(t *testing.T, b []byte, mediaType string) {
		doc, err := parseManifest(b, mediaType)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Errorf("kind %v", errs.KindOf(err))
			}
			return
		}
		for _, d := range doc.pointers() {
			if _, err := ParseDigest(d.Digest); err != nil || d.Size < 0 {
				t.Errorf("it points to %+v", d)
			}
		}
	})
}
