package deb_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/deb"
	"overland/internal/errs"
)

// written returns b as it is written.
func written(t *testing.T, b deb.Binary) ([]byte, error) {
	t.Helper()
	spool, err := os.Create(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	var out bytes.Buffer
	err = b.Write(&out, spool)
	return out.Bytes(), err
}

func aMember(name, text string) deb.Member {
	return deb.Member{Name: name, Mode: 0o644, Size: int64(len(text)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

// What nobody could install, or would be another package than was meant, is not written.
func TestWhatNoPackageMayHave(t *testing.T) {
	short := aMember("a", "text")
	short.Size++
	for name, c := range map[string]struct {
		b    deb.Binary
		kind errs.Kind
		want string
	}{
		"climbing":        {deb.Binary{Members: []deb.Member{aMember("../a", "")}}, errs.Invalid, "not a path below the root"},
		"absolute":        {deb.Binary{Members: []deb.Member{aMember("/a", "")}}, errs.Invalid, "not a path below the root"},
		"two lines":       {deb.Binary{Members: []deb.Member{aMember("a\nb", "")}}, errs.Invalid, "not a path below the root"},
		"twice":           {deb.Binary{Members: []deb.Member{aMember("a", ""), aMember("a", "")}}, errs.Invalid, "it is in the package already"},
		"below a file":    {deb.Binary{Members: []deb.Member{aMember("a", ""), aMember("a/b", "")}}, errs.Invalid, "is not a folder"},
		"a device":        {deb.Binary{Members: []deb.Member{{Name: "a", Mode: fs.ModeDevice}}}, errs.Invalid, "mode"},
		"no conffile":     {deb.Binary{Conffiles: []string{"/etc/a"}}, errs.Invalid, "not a file of the package"},
		"another field":   {deb.Binary{Fields: []deb.Field{{Name: "Homepage", Value: "x\rEvil: yes"}}}, errs.Invalid, "control character"},
		"short":           {deb.Binary{Members: []deb.Member{short}}, errs.Untrusted, "4 of 5 bytes"},
		"a link nowhere":  {deb.Binary{Members: []deb.Member{{Name: "a", Mode: fs.ModeSymlink}}}, errs.Invalid, "a link to"},
		"a terabyte":      {deb.Binary{Members: []deb.Member{{Name: "a", Size: 1 << 40}}}, errs.Invalid, "bytes"},
		"a folder, twice": {deb.Binary{Members: []deb.Member{{Name: "a", Mode: fs.ModeDir | 0o700}, {Name: "a", Mode: fs.ModeDir | 0o755}}}, 0, ""},
	} {
		if _, err := written(t, c.b); c.want == "" && err != nil || c.want != "" && (errs.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, %v", name, errs.KindOf(err), err)
		}
	}
	broken := errors.New("broken")
	b := deb.Binary{Members: []deb.Member{{Name: "a", Open: func() (io.ReadCloser, error) { return nil, broken }}}}
	if _, err := written(t, b); !errors.Is(err, broken) {
		t.Errorf("a file that cannot be opened: %v", err)
	}
}

// What is written is read again, and a long text stays one field.
func TestWrittenIsRead(t *testing.T) {
	long := strings.Repeat("long/", 60) + "name"
	b := deb.Binary{
		Time: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Fields: []deb.Field{{"Package", "tea"}, {"Empty", ""}, {"Description", "tea\nblack\n\nEvil: yes\n"}},
		Members: []deb.Member{aMember(long, "odd")},
	}
	all, err := written(t, b)
	if err != nil {
		t.Fatal(err)
	}
	var control string
	err = deb.ReadArchive(bytes.NewReader(all), deb.Contents{Control: func(name string, r io.Reader) error {
		text, err := io.ReadAll(r)
		if name == "control" {
			control = string(text)
		}
		return err
	}})
	if want := "Package: tea\nInstalled-Size: 61\nDescription: tea\n black\n .\n Evil: yes\n"; err != nil || control != want {
		t.Errorf("%q, %v, want %q", control, err, want)
	}
}
