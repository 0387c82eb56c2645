package fetch_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

// moody is a source of one blob that does what a random draw says, a new one for each request.
type moody struct {
	name   string
	body   []byte // what it has: the blob or a changed one
	list   []byte
	moods  []mood
	honest bool
	asks   int
}

type mood struct {
	Do  string // serve, refuse, absent, norange, wrongsize
	Cut int    // bytes after which the stream breaks; 0 = at its end
}

func (m *moody) Name() string { return m.name }

func (m *moody) Open(_ context.Context, d digest.Digest, off int64) (io.ReadCloser, int64, error) {
	if d == digest.Of(m.list) {
		return io.NopCloser(bytes.NewReader(m.list[off:])), int64(len(m.list)), nil
	}
	now := mood{Do: "serve"}
	if m.asks < len(m.moods) {
		now = m.moods[m.asks]
	}
	m.asks++
	size := int64(len(m.body))
	switch now.Do {
	case "refuse":
		return nil, -1, errDown
	case "absent":
		return nil, -1, fs.ErrNotExist
	case "norange":
		if off > 0 {
			return nil, -1, fetch.ErrNoRange
		}
	case "wrongsize":
		size++
	}
	rest := m.body[min(off, int64(len(m.body))):]
	if now.Cut > 0 && now.Cut < len(rest) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(rest[:now.Cut]), brokenReader{})), size, nil
	}
	return io.NopCloser(bytes.NewReader(rest)), size, nil
}

// Whatever sources and disk do: the blob is right or not there; with one honest source it is there;
// no honest source is ever accused.
func TestAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{1, 1000, mib, mib + 1, 2*mib + 5, 3 * mib}).Draw(t, "size")
		body := random(uint64(size), size)
		list, err := store.Chunks(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		b := plainBlob(body)
		if rapid.Bool().Draw(t, "chunk list") {
			b.Chunks = digest.Of(list)
		}
		o := fetch.Options{Backoff: time.Microsecond}
		reliable := false
		for i := range rapid.IntRange(1, 4).Draw(t, "sources") {
			m := &moody{name: fmt.Sprint("source ", i), body: body, list: list, honest: true}
			if rapid.IntRange(0, 2).Draw(t, "liar") == 0 {
				m.honest = false
				m.body = flip(rapid.IntRange(0, size-1).Draw(t, "spoilt byte"))(slices.Clone(body))
			}
			gone := false
			for range rapid.IntRange(0, 6).Draw(t, "moods") {
				d := mood{
					Do:  rapid.SampledFrom([]string{"serve", "serve", "serve", "refuse", "absent", "norange", "wrongsize"}).Draw(t, "do"),
					Cut: rapid.SampledFrom([]int{0, 1, 70_000, mib - 1, mib, mib + 70_000}).Draw(t, "cut"),
				}
				gone = gone || d.Do == "absent"
				m.moods = append(m.moods, d)
			}
			reliable = reliable || m.honest && !gone
			o.Sources = append(o.Sources, m)
		}
		o.Attempts = 20
		o.Liar = func(e *fetch.SourceError) {
			for _, s := range o.Sources {
				if s.Name() == e.Source && s.(*moody).honest {
					t.Fatalf("the honest %s was accused: %v", e.Source, e)
				}
			}
		}
		dir, err := os.MkdirTemp("", "overland-fetch-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		s, err := storedir.Open(dir, storedir.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if have := rapid.SampledFrom([]int{0, 0, 1, mib / 2, mib + mib/2, size}).Draw(t, "on disk"); have > 0 && have <= size {
			in, err := store.Resume(context.Background(), s, b.Digest, b.Size)
			if err != nil {
				t.Fatal(err)
			}
			there := slices.Clone(body[:have])
			if rapid.Bool().Draw(t, "spoilt on disk") {
				there[rapid.IntRange(0, have-1).Draw(t, "where")] ^= 1
			}
			if _, err := in.Write(there); err != nil {
				t.Fatal(err)
			}
			if err := in.Close(); err != nil {
				t.Fatal(err)
			}
		}
		err = fetch.New(s, o).Fetch(context.Background(), b)
		if err == nil {
			if err := store.Verify(context.Background(), s, b.Digest); err != nil {
				t.Fatal(err)
			}
			return
		}
		if there, herr := store.Has(context.Background(), s, b.Digest); there || herr != nil {
			t.Fatalf("got %v, and the store has it: %v, %v", err, there, herr)
		}
		if k := errs.KindOf(err); k != errs.Untrusted && k != errs.Unavailable && k != errs.NotFound {
			t.Fatalf("got %v of kind %v", err, k)
		}
		if reliable {
			t.Fatalf("got %v, though one source is honest", err)
		}
	})
}
