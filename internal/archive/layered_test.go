package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lay lays layers, each of names that end in "/" when they are folders, over one another.
func lay(t *testing.T, layers ...string) []string {
	t.Helper()
	var l Layered[int]
	for i, layer := range layers {
		if err := l.Layer(t.Context(), strings.NewReader(""), Bounds{}, nil); err != nil {
			t.Fatal(err)
		}
		for name := range strings.FieldsSeq(layer) {
			folder := strings.HasSuffix(name, "/")
			clean, put := l.Lay(name, folder)
			if !put || folder {
				continue
			}
			if err := l.Set(clean, i); err != nil {
				t.Fatal(err)
			}
		}
	}
	list := []string{}
	for name, i := range l.All {
		list = append(list, fmt.Sprintf("%s %d", name, i))
	}
	slices.Sort(list)
	return list
}

// What a container sees is what is seen here: nothing is hidden by where in its layer a whiteout stands, nor shown because
// its folder is in no layer.
func TestLayered(t *testing.T) {
	for name, c := range map[string]struct {
		layers []string
		want   string
	}{
		"upper over lower":                     {[]string{"a b/c", "a"}, "a 1,b/c 0"},
		"removed":                              {[]string{"a b/c b/d", ".wh.a b/.wh.c"}, "b/d 0"},
		"a folder is removed":                  {[]string{"b/ b/c b/d/e bb", ".wh.b"}, "bb 0"},
		"a folder that has no member":          {[]string{"b/c b/d/e", ".wh.b"}, ""},
		"removed before it comes":              {[]string{"a", ".wh.a a"}, "a 1"},
		"all of a folder":                      {[]string{"b/ b/c", "b/.wh..wh..opq b/d"}, "b/d 1"},
		"all of a folder, said at the end":     {[]string{"b/c b/x/y", "b/d b/x/z b/.wh..wh..opq"}, "b/d 1,b/x/z 1"},
		"all of the top":                       {[]string{"a b/c", "d .wh..wh..opq"}, "d 1"},
		"a file in a folder's place":           {[]string{"b/c", "b"}, "b 1"},
		"a folder in a file's place":           {[]string{"b", "b/ b/c"}, "b/c 1"},
		"a folder in a folder's place":         {[]string{"b/ b/c", "b/"}, "b/c 0"},
		"what is not there":                    {[]string{".wh.a b/.wh.c c/.wh..wh..opq", ".wh..wh..opq"}, ""},
		"names that climb, or are not clean":   {[]string{"../a ./b//c /d", "./.wh.a d"}, "b/c 0,d 1"},
		"the top":                              {[]string{"/ . ./ a"}, "a 0"},
		"the third over the first":             {[]string{"b/c", "x", "b/.wh..wh..opq b/d"}, "b/d 2,x 1"},
		"a name that only begins as another":   {[]string{"b/c bc", ".wh.b"}, "bc 0"},
		"twice all of a folder":                {[]string{"b/c", "b/.wh..wh..opq b/d b/.wh..wh..opq"}, "b/d 1"},
		"a whiteout of the lowest layer alone": {[]string{"a .wh.a"}, ""},
	} {
		want := []string{}
		if c.want != "" {
			want = strings.Split(c.want, ",")
		}
		if diff := cmp.Diff(want, lay(t, c.layers...)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The bounds are of all layers together: a container may have many, and the same one many times.
func TestBoundsOfLayers(t *testing.T) {
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	for _, name := range []string{"a", "b"} {
		if err := w.WriteHeader(&tar.Header{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	size := int64(text.Len())
	for name, c := range map[string]struct {
		bounds Bounds
		layers int
		bomb   bool
	}{
		"members":      {Bounds{Members: 4, Bytes: 1 << 20}, 2, false},
		"more members": {Bounds{Members: 4, Bytes: 1 << 20}, 3, true},
		"bytes":        {Bounds{Members: 100, Bytes: 2 * size}, 2, false},
		"more bytes":   {Bounds{Members: 100, Bytes: 2 * size}, 3, true},
	} {
		var l Layered[int]
		var err error
		for range c.layers {
			visit := func(*tar.Header, io.Reader) error { return nil }
			if err = l.Layer(t.Context(), bytes.NewReader(text.Bytes()), c.bounds, visit); err != nil {
				break
			}
		}
		if errors.Is(err, ErrBomb) != c.bomb || !c.bomb && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Names are held, so they are bounded.
func TestNamesOfLayers(t *testing.T) {
	var l Layered[int]
	if err := l.Set(strings.Repeat("a", nameMost), 0); err != nil {
		t.Error(err)
	}
	if err := l.Set(strings.Repeat("a", nameMost+1), 0); !errors.Is(err, ErrBomb) {
		t.Error(err)
	}
	l.held = heldMost - nodeBytes
	if err := l.Set("b", 0); !errors.Is(err, ErrBomb) {
		t.Error(err)
	}
	if n := len(maps.Collect(l.All)); n != 1 {
		t.Errorf("%d names", n)
	}
}
