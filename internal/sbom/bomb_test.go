package sbom_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"overland/internal/archive"
	"overland/internal/errs"
	"overland/internal/sbom"
)

// member is one of a tar: a file of size bytes, of which text is the beginning, or a hard link.
type member struct {
	name, text string
	size       int64
	link       string
}

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// written returns a tar while it is written: some of them are large.
func written(t *testing.T, list func(yield func(member) bool)) io.Reader {
	t.Helper()
	r, w := io.Pipe()
	ended := make(chan struct{})
	t.Cleanup(func() { r.Close(); <-ended })
	go func() {
		defer close(ended)
		out := tar.NewWriter(w)
		for m := range list {
			m.size = max(m.size, int64(len(m.text)))
			h := &tar.Header{Typeflag: tar.TypeReg, Name: m.name, Mode: 0o644, Size: m.size}
			if m.link != "" {
				h.Typeflag, h.Linkname = tar.TypeLink, m.link
			}
			if out.WriteHeader(h) != nil {
				break
			}
			if _, err := io.Copy(out, io.LimitReader(io.MultiReader(strings.NewReader(m.text), zeros{}), m.size)); err != nil {
				break
			}
		}
		w.CloseWithError(errors.Join(out.Close()))
	}()
	return r
}

// A root file system whose package databases fill the memory, is refused.
func TestARootThatIsABomb(t *testing.T) {
	const status = "var/lib/dpkg/status"
	for name, list := range map[string]func(yield func(member) bool){
		"large databases": func(yield func(member) bool) {
			for i := 0; yield(member{name: fmt.Sprintf(status+".d/%d", i), text: "Package: a\nVersion: 1\n\n", size: 6 << 20}) && i < 30; i++ {
			}
		},
		"links to a large database": func(yield func(member) bool) {
			_ = yield(member{name: status + ".d/0", text: "Package: a\nVersion: 1\n\n", size: 6 << 20})
			for i := 1; yield(member{name: fmt.Sprintf(status+".d/%d", i), link: status + ".d/0"}) && i < 30; i++ {
			}
		},
		"many packages": func(yield func(member) bool) {
			yield(member{name: status, text: strings.Repeat("Package: a\nVersion: 1\n\n", 1<<17+1)})
		},
	} {
		_, err := sbom.Packages(t.Context(), written(t, list))
		if !errors.Is(err, archive.ErrBomb) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A package is listed that a container has, wherever in its layer the whiteout stands that seems to remove it.
func TestAWhiteoutHidesNoPackage(t *testing.T) {
	a, err := sbom.Packages(t.Context(), written(t, func(yield func(member) bool) {
		_ = yield(member{name: "var/lib/dpkg/status.d/tea", text: "Package: tea\nVersion: 1\n"}) &&
			yield(member{name: "var/lib/dpkg/status.d/.wh..wh..opq"}) && yield(member{name: "var/.wh..wh..opq"})
	}))
	if err != nil || len(a.Components) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
}

// A package is listed that a container has by a hard link, when what that is to has gone. What cannot be known is refused.
func TestADatabaseThatIsAHardLink(t *testing.T) {
	const at = "var/lib/dpkg/status.d/"
	for link, want := range map[string]int{"./" + at + "tea": 1, "srv/tea": 0} {
		a, err := sbom.Packages(t.Context(), written(t, func(yield func(member) bool) {
			_ = yield(member{name: at + "tea", text: "Package: tea\nVersion: 1\n"}) && yield(member{name: at + "cup", link: link}) && yield(member{name: at + ".wh.tea"})
		}))
		if want == 0 && errs.KindOf(err) != errs.Invalid || want > 0 && (err != nil || len(a.Components) != want) {
			t.Errorf("a link to %s: %+v, %v", link, a, err)
		}
	}
}
