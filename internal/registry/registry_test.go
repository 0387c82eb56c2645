package registry

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
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
		if _, err := r.Offset(ctx, repo, ann, id); CodeOf(err) != BlobUploadUnknown || len(r.uploads) > 0 {
			t.Errorf("after its end: %v, and %d are open", err, len(r.uploads))
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
	if n, err = r.Write(ctx, repo, ann, id, 3, strings.NewReader("defghi"), 3); n != 6 || err != nil {
		t.Errorf("one with more than it says: %d, %v", n, err)
	}
	broken := io.MultiReader(strings.NewReader("g"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if n, err = r.Write(ctx, repo, ann, id, 6, broken, -1); n != 7 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("one that breaks off, and does not say how long it is: %d, %v", n, err)
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
	if _, err := r.Put(ctx, repo, Reference{Tag: "v1"}, nil, imageType, []byte(m)); err != nil {
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
		"sha256:" + strings.Repeat("g", 64): false, strings.ToUpper(string(digest.Of(nil))): false, "sha512:" + digest.Of(nil).Encoded(): false, "latest": false,
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

const indexType = "application/vnd.oci.image.index.v1+json"

// A document that is not a manifest, or contradicts itself, is refused.
func TestParseManifest(t *testing.T) {
	one := fmt.Sprintf(`{"mediaType":"x","digest":%q,"size":1}`, digest.Of(nil))
	const image = `{"schemaVersion":2,"mediaType":"` + imageType + `","config":ONE,"layers":[ONE]}`
	many := func(n int) string {
		return strings.Replace(image, "[ONE]", "["+strings.Repeat("ONE,", n-1)+"ONE]", 1)
	}
	list := "application/vnd.docker.distribution.manifest.list.v2+json"
	for _, c := range []struct {
		what, mediaType, text string
		want                  bool
	}{
		{"an image", imageType, image, true},
		{"sent as nothing", "", image, true},
		{"sent as JSON", "application/json", image, true},
		{"sent with a parameter", imageType + "; charset=utf-8", image, true},
		{"sent as something else", indexType, image, false},
		{"that does not say its type", imageType, strings.Replace(image, imageType, "", 1), true},
		{"of an unknown type", "text/plain", strings.Replace(image, imageType, "", 1), false},
		{"that nobody says the type of", "", strings.Replace(image, imageType, "", 1), false},
		{"as long as may be", imageType, image + strings.Repeat(" ", ManifestLimit-len(image)-3*(len(one)-3)+len(one)-3), true},
		{"a bomb", imageType, strings.TrimSuffix(image, "}") + `,"annotations":{` + strings.Repeat(`"":"",`, 1<<18) + `"":""}}`, false},
		{"longer", imageType, image + strings.Repeat(" ", ManifestLimit), false},
		{"of as many layers as may be", imageType, many(store.ChildLimit), true},
		{"of one more", imageType, many(store.ChildLimit + 1), false},
		{"without a config", imageType, strings.Replace(image, `"config":ONE,`, "", 1), false},
		{"with manifests", imageType, strings.Replace(image, `"layers"`, `"manifests":[],"layers"`, 1), false},
		{"an index", indexType, `{"schemaVersion":2,"manifests":[ONE]}`, true},
		{"an index of Docker's", list, `{"schemaVersion":2,"manifests":[ONE]}`, true},
		{"an index with layers", indexType, `{"schemaVersion":2,"manifests":[],"layers":[]}`, false},
		{"an index with a config", indexType, `{"schemaVersion":2,"manifests":[],"config":ONE}`, false},
		{"a size below 0", imageType, strings.Replace(image, "[ONE]", strings.Replace("[ONE]", "ONE", strings.Replace(one, ":1}", ":-1}", 1), 1), 1), false},
		{"a config that is no digest", imageType, strings.Replace(image, "ONE", `{"digest":"sha256:0","size":1}`, 1), false},
		{"a subject that is no digest", imageType, strings.Replace(image, `"layers"`, `"subject":{"digest":"x"},"layers"`, 1), false},
	} {
		_, err := parseManifest([]byte(strings.ReplaceAll(c.text, "ONE", one)), c.mediaType)
		if (err == nil) != c.want || err != nil && CodeOf(err) != ManifestInvalid {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// What licences forbid to push is not asked for, by any of its signs; all else is.
func TestForeignLayers(t *testing.T) {
	r, _, _ := open(t, t.TempDir(), Options{})
	config := put(t, r, "{}")
	for layer, want := range map[string]Code{
		`"mediaType":"application/vnd.oci.image.layer.v1.tar"`:                              ManifestBlobUnknown,
		`"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar"`:             "",
		`"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"`:           "",
		`"mediaType":"application/vnd.oci.image.layer.v1.tar","urls":["https://a.example"]`: "",
	} {
		m := fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q,"size":2},"layers":[{%s,"digest":%q,"size":1}]}`, config, layer, digest.Of([]byte("x")))
		if _, err := r.Put(t.Context(), repo, Reference{Tag: "v1"}, nil, imageType, []byte(m)); CodeOf(err) != want || (err == nil) != (want == "") {
			t.Errorf("%s: %v", layer, err)
		}
	}
}

// Referrers come in pages, the oldest first, of the kind that is asked for: what they say that they are, else what
// their config is.
func TestReferrersInPages(t *testing.T) {
	ctx := t.Context()
	r, _, _ := open(t, t.TempDir(), Options{})
	config, subject := put(t, r, "{}"), Digest(digest.Of([]byte("not pushed")))
	var all []Digest
	for _, more := range []string{`"artifactType":"sbom",`, ``, `"artifactType":"sbom","annotations":{"n":"3"},`} {
		m := fmt.Sprintf(`{"schemaVersion":2,%s"subject":{"digest":%q,"size":1},"config":{"mediaType":"signature","digest":%q,"size":2},"layers":[]}`, more, subject, config)
		p, err := r.Put(ctx, repo, Reference{Digest: Digest(digest.Of([]byte(m)))}, nil, imageType, []byte(m))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p.Digest)
	}
	for _, c := range []struct {
		kind  string
		last  Digest
		limit int
		want  []Digest
		more  bool
	}{
		{"", "", 2, all[:2], true},
		{"", all[1], 2, all[2:], false},
		{"", "", 3, all, false},
		{"sbom", "", 9, []Digest{all[0], all[2]}, false},
		{"signature", "", 9, all[1:2], false},
		{"other", "", 9, nil, false},
	} {
		list, more, err := r.Referrers(ctx, repo, subject, c.kind, c.last, c.limit)
		var got []Digest
		for _, d := range list {
			got = append(got, Digest(d.Digest))
		}
		if err != nil || list == nil || more != c.more || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, more %v, %v", c, got, more, err)
		}
	}
}

// What is counted of referrers is what is answered: "<" is six bytes of JSON.
func TestReferrersOfManyBytes(t *testing.T) {
	ctx := t.Context()
	r, _, _ := open(t, t.TempDir(), Options{})
	config, subject := put(t, r, "{}"), Digest(digest.Of([]byte("not pushed")))
	for i := range 3 {
		m := fmt.Sprintf(`{"schemaVersion":2,"annotations":{"n%d":%q},"subject":{"digest":%q,"size":1},"config":{"mediaType":"a","digest":%q,"size":2},"layers":[]}`,
			i, strings.Repeat("<", 400<<10), subject, config)
		if _, err := r.Put(ctx, repo, Reference{Digest: Digest(digest.Of([]byte(m)))}, nil, imageType, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	if list, more, err := r.Referrers(ctx, repo, subject, "", "", 9); err != nil || len(list) != 1 || !more {
		t.Errorf("%d at once, more %v: %v", len(list), more, err)
	}
}

// Unless clients may delete, nothing is, by any way.
func TestNothingIsDeleted(t *testing.T) {
	ctx := t.Context()
	r, _, _ := open(t, t.TempDir(), Options{})
	config, lone := put(t, r, "{}"), put(t, r, "no manifest's")
	m := fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q,"size":2},"layers":[]}`, config)
	p, err := r.Put(ctx, repo, Reference{Tag: "v1"}, nil, imageType, []byte(m))
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"a blob": r.RemoveBlob(ctx, repo, lone), "a tag": r.RemoveManifest(ctx, repo, Reference{Tag: "v1"}),
		"a manifest": r.RemoveManifest(ctx, repo, Reference{Digest: p.Digest}),
	} {
		if CodeOf(err) != Unsupported || errs.KindOf(err) != errs.Denied {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// An upload that another process is at work on is refused until that ends, and holds nobody up.
func TestAnUploadOfAnotherProcess(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	r, _, _ := open(t, dir, Options{})
	other, _, _ := open(t, dir, Options{})
	id, err := other.Begin(ctx, repo, ann, "")
	if err == nil {
		_, err = other.Write(ctx, repo, ann, id, -1, strings.NewReader("x"), 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for range 2 {
		if _, err := r.Offset(soon, repo, ann, id); !errors.Is(err, store.ErrBusy) {
			t.Errorf("while it is at work: %v", err)
		}
	}
	r.closeIdle(time.Now().Add(time.Hour))
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Offset(ctx, repo, ann, id); n != 1 || err != nil {
		t.Errorf("after that: %d, %v", n, err)
	}
}

// Run drops what is a day old, at once.
func TestRunSweeps(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	first, _, _ := open(t, dir, Options{})
	if _, err := first.Begin(t.Context(), repo, ann, ""); err != nil {
		t.Fatal(err)
	}
	put(t, first, "left")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	r, _, facts := open(t, dir, Options{Now: func() time.Time { return now.Add(uploadLife + time.Minute) }})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	end := time.After(30 * time.Second)
	for left := []string{""}; len(left) > 0; {
		select {
		case <-end:
			t.Fatalf("left: %q", left)
		case <-time.After(time.Millisecond):
		}
		var err error
		if left, err = facts.OldRegistryUploads(ctx, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
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
