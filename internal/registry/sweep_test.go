package registry

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
)

// What an index, a subject, a tag, a release or a client's question holds stays, with all its parts; the rest goes some
// time after its last day.
func TestWhatHoldsAManifest(t *testing.T) {
	ctx, now := t.Context(), time.Now()
	named := map[digest.Digest]bool{}
	refuse := errors.New("a lock cannot be read")
	var unreadable error
	r, _, _ := open(t, t.TempDir(), Options{
		Now:   func() time.Time { return now },
		Named: func(context.Context) (map[digest.Digest]bool, error) { return named, unreadable },
	})
	config := put(t, r, "{}")
	all := map[string]Digest{}
	add := func(name string, ref Reference, mediaType, text string) Digest {
		t.Helper()
		p, err := r.Put(ctx, repo, ref, nil, mediaType, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = p.Digest
		return p.Digest
	}
	image := func(name, tag, subject string, by512 bool) Digest {
		t.Helper()
		layer := put(t, r, "layer of "+name)
		all["layer of "+name] = layer
		text := fmt.Sprintf(`{"schemaVersion":2,%s"config":{"digest":%q,"size":2},"layers":[{"digest":%q,"size":9}]}`, subject, config, layer)
		ref := Reference{Tag: tag}
		if tag == "" {
			ref = Reference{Digest: Digest(digest.Of([]byte(text)))}
		}
		if by512 {
			ref = Reference{Digest: sha512Of([]byte(text))}
		}
		return add(name, ref, imageType, text)
	}
	index := func(name, tag string, of ...Digest) Digest {
		t.Helper()
		text := `{"schemaVersion":2,"manifests":[`
		for i, d := range of {
			if i > 0 {
				text += ","
			}
			text += fmt.Sprintf(`{"digest":%q,"size":9}`, d)
		}
		text += "]}"
		return add(name, Reference{Tag: tag}, indexType, text)
	}
	about := func(d Digest) string { return fmt.Sprintf(`"subject":{"digest":%q,"size":1},`, d) }

	index("old index", "v1", image("old arm", "", "", false), image("old arm64", "", "", true))
	first := index("index", "v1", image("arm", "", "", false), image("arm64", "", "", true)) // v1 moves
	image("sbom", "", about(all["arm64"]), false)
	image("signature", "", about(all["sbom"]), false)
	image("about the index", "", about(first), true)
	image("about the old index", "", about(all["old index"]), false)
	image("pinned", "", "", false)
	image("by a release", "", "", false)
	image("about that", "", about(all["by a release"]), false)
	image("left", "", "", false)
	named[digest.Digest(all["by a release"])] = true

	there := func(name string) bool {
		t.Helper()
		if len(name) > 5 && name[:5] == "layer" {
			b, err := r.Blob(ctx, repo, all[name], false)
			if err == nil {
				err = b.Close()
			}
			return err == nil
		}
		row, err := r.row(ctx, repo, Reference{Digest: all[name]})
		if err != nil && errs.KindOf(err) != errs.NotFound {
			t.Fatal(err)
		}
		return err == nil && row.Blob != ""
	}
	sweep := func(after time.Duration, gone ...string) {
		t.Helper()
		now = now.Add(after)
		if err := r.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		want := map[string]bool{}
		for _, name := range gone {
			want[name], want["layer of "+name] = true, true
		}
		for name := range all {
			if there(name) == want[name] {
				t.Errorf("after %v: %s is there: %v", after, name, want[name])
			}
		}
	}
	ask := func(name string) {
		t.Helper()
		m, err := r.Manifest(ctx, repo, Reference{Digest: all[name]})
		if err == nil {
			err = m.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	sweep(25 * time.Hour)
	sweep(UntaggedLife - 26*time.Hour)
	ask("pinned")
	unreadable = refuse
	now = now.Add(2 * time.Hour)
	if err := r.Sweep(ctx); !errors.Is(err, refuse) {
		t.Errorf("with a lock that cannot be read: %v", err)
	}
	unreadable = nil
	gone := []string{"old index", "old arm", "old arm64", "about the old index", "left"}
	sweep(0, gone...)
	sweep(UntaggedLife-3*time.Hour, gone...)
	delete(named, digest.Digest(all["by a release"]))
	gone = append(gone, "pinned", "by a release", "about that")
	sweep(4*time.Hour, gone...)
	sweep(100*UntaggedLife, gone...)
}

// A site that says so keeps all; one that says less than a day keeps what was pushed within it.
func TestHowLongUntaggedStays(t *testing.T) {
	for _, c := range []struct {
		life, after time.Duration
		there       bool
	}{{-1, 1000 * UntaggedLife, true}, {time.Minute, 23 * time.Hour, true}, {time.Minute, 25 * time.Hour, false}} {
		now := time.Now()
		r, _, _ := open(t, t.TempDir(), Options{Sparse: true, Untagged: c.life, Now: func() time.Time { return now }})
		text := []byte(`{"schemaVersion":2,"config":{"digest":"` + string(digest.Of(nil)) + `"}}`)
		at := Reference{Digest: Digest(digest.Of(text))}
		if _, err := r.Put(t.Context(), repo, at, nil, imageType, text); err != nil {
			t.Fatal(err)
		}
		now = now.Add(c.after)
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.row(t.Context(), repo, at); (err == nil) != c.there {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A manifest is not taken whose layer the database has and the depot has not, as after a collection that was faster than a
// push which gave up.
func TestALayerThatTheDatabaseAloneHas(t *testing.T) {
	r, d := openOn(t, Options{})
	layer := put(t, r, "x")
	if err := d.Remove(t.Context(), digest.Digest(layer)); err != nil {
		t.Fatal(err)
	}
	text := []byte(`{"schemaVersion":2,"config":{"digest":"` + string(layer) + `"}}`)
	if _, err := r.Put(t.Context(), repo, Reference{Tag: "v1"}, nil, imageType, text); CodeOf(err) != ManifestBlobUnknown {
		t.Errorf("%v", err)
	}
}

// What came of an upload that another process had dropped a moment before is in no table, and goes too.
func TestAnUploadThatIsInNoTable(t *testing.T) {
	r, blobs, _ := open(t, t.TempDir(), Options{Now: func() time.Time { return time.Now().Add(uploadLife + time.Hour) }})
	u, err := blobs.Begin(t.Context(), uploadPrefix+"x", -1)
	if err == nil {
		_, err = u.Write([]byte("x"))
	}
	if err := errors.Join(err, u.Close(), r.Sweep(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := blobs.Pending(t.Context(), "", func(id string, _ int64, _ time.Time) error { return errors.New(id) }); err != nil {
		t.Errorf("%v is left", err)
	}
}
