package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"overland/internal/db/sqlite"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

// depot is a depot that tells what the registry asks of it, and can be full.
type depot struct {
	*storedir.Store
	touched []digest.Digest
	claims  []string
	claim   error
	gone    bool                // what is touched was collected
	room    int                 // bytes that uploads still take; -1 = any number
	before  func(digest.Digest) // called before something becomes a blob; nil = nothing
}

func (d *depot) Put(ctx context.Context, r io.Reader, want digest.Digest, size int64) (digest.Digest, int64, error) {
	if d.before != nil {
		d.before(want)
	}
	return d.Store.Put(ctx, r, want, size)
}

func (d *depot) Claim(name string) error { d.claims = append(d.claims, name); return d.claim }

func (d *depot) Touch(b digest.Digest) error {
	d.touched = append(d.touched, b)
	if d.gone {
		return errs.Errorf(errs.NotFound, "blob %s", b)
	}
	return nil
}

func (d *depot) Begin(ctx context.Context, id string, size int64) (store.Upload, error) {
	u, err := d.Store.Begin(ctx, id, size)
	return &narrow{u, d}, err
}

// narrow is an upload onto a disk that may be full.
type narrow struct {
	store.Upload
	d *depot
}

func (n *narrow) Reserve(bytes int64) error {
	if n.d.room >= smallPiece && bytes > int64(n.d.room) {
		return fsx.Full(syscall.ENOSPC)
	}
	return n.Upload.Reserve(bytes)
}

func (n *narrow) Commit(ctx context.Context, b digest.Digest) error {
	if n.d.before != nil {
		n.d.before(b)
	}
	return n.Upload.Commit(ctx, b)
}

func (n *narrow) Write(p []byte) (int, error) {
	if n.d.room < 0 || n.d.room >= len(p) {
		return n.Upload.Write(p)
	}
	k, err := n.Upload.Write(p[:n.d.room])
	n.d.room = 0
	return k, errors.Join(err, fsx.Full(syscall.ENOSPC))
}

// openOn opens a registry on a depot.
func openOn(t *testing.T, o Options) (*Registry, *depot) {
	t.Helper()
	dir := t.TempDir()
	blobs, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	facts, err := sqlite.Open(t.Context(), filepath.Join(dir, "site.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = facts.Close() })
	d := &depot{Store: blobs, room: -1}
	r, err := Open(d, facts, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r, d
}

// An upload on which the disk was full goes on when there is room: what was taken of a piece counts, and no more.
func TestAFullDiskSpoilsNoUpload(t *testing.T) {
	ctx, text := t.Context(), []byte("hello, world")
	for _, name := range []Digest{Digest(digest.Of(text)), sha512Of(text)} {
		r, d := openOn(t, Options{})
		id, err := r.Begin(ctx, repo, ann, name.Algorithm())
		if err != nil {
			t.Fatal(err)
		}
		d.room = 3
		n, err := r.Write(ctx, repo, ann, id, 0, bytes.NewReader(text), int64(len(text)))
		if n != 3 || !fsx.IsFull(err) {
			t.Fatalf("%d, %v", n, err)
		}
		d.room = -1
		if n, err = r.Write(ctx, repo, ann, id, n, bytes.NewReader(text[n:]), -1); n != int64(len(text)) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		if err := r.Finish(ctx, repo, ann, id, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Of a disk on which a whole piece has no room, a body that does not say how long it is takes what there is.
func TestASmallPiece(t *testing.T) {
	r, d := openOn(t, Options{})
	for size, full := range map[int64]bool{-1: false, 2: false, 3 << 20: true} {
		id, err := r.Begin(t.Context(), repo, ann, "")
		if err != nil {
			t.Fatal(err)
		}
		d.room = 2 << 20
		n, err := r.Write(t.Context(), repo, ann, id, -1, strings.NewReader("ab"), size)
		if fsx.IsFull(err) != full || !full && (n != 2 || err != nil) {
			t.Errorf("a body of %d bytes: %d, %v", size, n, err)
		}
	}
}

// It is known that a push brings a blob before the depot has it: else it would be everybody's for a moment, or, when what
// follows fails, for good. Bytes that nobody has sent are not a push's.
func TestAPushIsNotedBeforeTheDepotHasIt(t *testing.T) {
	ctx := t.Context()
	r, d := openOn(t, Options{Sparse: true})
	seen := 0
	d.before = func(b digest.Digest) {
		if came, err := r.facts.RegistryCame(ctx, b); !came || err != nil {
			t.Errorf("%s becomes a blob: %v, %v", b, came, err)
		}
		seen++
	}
	put(t, r, "text")
	id, err := r.Begin(ctx, repo, ann, "sha512")
	if err == nil {
		_, err = r.Write(ctx, repo, ann, id, -1, strings.NewReader("more"), -1)
	}
	if err == nil {
		err = r.Finish(ctx, repo, ann, id, sha512Of([]byte("more")))
	}
	if err != nil {
		t.Fatal(err)
	}
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q}}`, digest.Of([]byte("text")))
	if _, err := r.Put(ctx, repo, Reference{Tag: "v1"}, nil, imageType, manifest); err != nil {
		t.Fatal(err)
	}
	if seen != 3 {
		t.Errorf("%d blobs", seen)
	}
	for _, name := range []Digest{Digest(digest.Of([]byte("another's"))), sha512Of([]byte("another's"))} {
		id, err := r.Begin(ctx, repo, ann, name.Algorithm())
		if err == nil {
			_, err = r.Write(ctx, repo, ann, id, -1, strings.NewReader("mine"), -1)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Finish(ctx, repo, ann, id, name); CodeOf(err) != DigestInvalid {
			t.Errorf("%s: %v", name, err)
		}
		for _, b := range []string{"another's", "mine"} {
			if came, err := r.facts.RegistryCame(ctx, digest.Of([]byte(b))); came || err != nil {
				t.Errorf("%s: %v, %v", b, came, err)
			}
		}
	}
}

// A collection that is under way removes nothing that was acknowledged, and no other program takes the depot for its own.
func TestWhatIsAcknowledgedIsTouched(t *testing.T) {
	ctx := t.Context()
	r, d := openOn(t, Options{Sparse: true})
	if !slices.Equal(d.claims, []string{store.ClaimRegistry}) {
		t.Errorf("claims %q", d.claims)
	}
	touched := func(what string, name Digest, want bool) {
		t.Helper()
		if got := slices.Contains(d.touched, digest.Digest(name)); got != want {
			t.Errorf("%s: touched %v", what, got)
		}
		d.touched = nil
	}
	blob := put(t, r, "text")
	touched("pushed", blob, true)
	for _, keep := range []bool{false, true} {
		b, err := r.Blob(ctx, repo, blob, keep)
		if err := errors.Join(err, b.Close()); err != nil {
			t.Fatal(err)
		}
		touched(fmt.Sprintf("looked for, to keep it: %v", keep), blob, keep)
	}
	all := func(Name) bool { return true }
	if there, err := r.Mount(ctx, "other", repo, blob, all); !there || err != nil {
		t.Fatal(there, err)
	}
	touched("mounted", blob, true)
	pushed, err := r.Put(ctx, repo, Reference{Tag: "v1"}, nil, imageType, fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q}}`, blob))
	if err != nil {
		t.Fatal(err)
	}
	touched("a manifest", pushed.Digest, true)
	d.gone = true
	if there, err := r.Mount(ctx, "third", "", blob, all); there || err != nil {
		t.Errorf("a blob that was collected meanwhile: %v, %v", there, err)
	}
	d.gone = false
	if there, err := r.Mount(ctx, "third", "", sha512Of(nil), all); there || err != nil {
		t.Errorf("a blob that nobody has: %v, %v", there, err)
	}
	if there, err := r.Mount(ctx, "third", "none", blob, all); there || err != nil {
		t.Errorf("from a repository that does not have it: %v, %v", there, err)
	}
}

const imageType = "application/vnd.oci.image.manifest.v1+json"

// A blob with a sha512 is one blob: what points to it by either name keeps it, and is found by either.
func TestABlobHasTwoNames(t *testing.T) {
	ctx, text := t.Context(), []byte("text")
	r, _ := openOn(t, Options{Delete: true, Sparse: true})
	long := sha512Of(text)
	id, err := r.Begin(ctx, repo, ann, "sha512")
	if err == nil {
		_, err = r.Write(ctx, repo, ann, id, -1, bytes.NewReader(text), -1)
	}
	if err == nil {
		err = r.Finish(ctx, repo, ann, id, long)
	}
	if err != nil {
		t.Fatal(err)
	}
	short := Digest(digest.Of(text))
	about := fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q},"subject":{"digest":%q}}`, digest.Of(nil), long)
	layer := fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q},"layers":[{"digest":%q}]}`, digest.Of(nil), long)
	for _, m := range [][]byte{about, layer} {
		if _, err := r.Put(ctx, repo, Reference{Digest: sha512Of(m)}, nil, imageType, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []Digest{short, long} {
		if err := r.RemoveBlob(ctx, repo, name); errs.KindOf(err) != errs.Conflict {
			t.Errorf("a layer was removed as %.12s: %v", name, err)
		}
		list, _, err := r.Referrers(ctx, repo, name, "", "", 9)
		if err != nil || len(list) != 1 || Digest(list[0].Digest) != sha512Of(about) {
			t.Errorf("referrers of %.12s: %v, %v", name, list, err)
		}
	}
	for _, name := range []Digest{sha512Of(layer), Digest(digest.Of(layer))} {
		m, err := r.Manifest(ctx, repo, Reference{Digest: name})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(m)
		if err := errors.Join(err, m.Close()); err != nil || m.Digest != name || !bytes.Equal(b, layer) {
			t.Errorf("a manifest by %.12s: %+v, %v", name, m, err)
		}
	}
}

func TestARegistryThatIsNotOpened(t *testing.T) {
	refused := errors.New("no")
	if _, err := Open(&depot{claim: refused}, nil, Options{}); !errors.Is(err, refused) {
		t.Errorf("a depot that is somebody else's: %v", err)
	}
	if _, err := Open(&depot{}, nil, Options{Fixed: []string{"live/*", "["}}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a pattern that is none: %v", err)
	}
}
