package volume

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// archive returns a volume's path whose ZIP was made by another program: the
// entries of good, then what more adds.
func archive(t *testing.T, good string, more func(t *testing.T, z *zip.Writer)) string {
	t.Helper()
	old, err := zip.OpenReader(good)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	var b bytes.Buffer
	b.Write(read(t, good)[:stubSize])
	z := zip.NewWriter(&b)
	z.SetOffset(stubSize)
	for _, f := range old.File {
		r, err := f.OpenRaw()
		if err != nil {
			t.Fatal(err)
		}
		w, err := z.CreateRaw(&f.FileHeader)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, r); err != nil {
			t.Fatal(err)
		}
	}
	more(t, z)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "evil.volume")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// raw adds a stored entry with exactly this header.
func raw(t *testing.T, z *zip.Writer, h zip.FileHeader, b []byte) {
	t.Helper()
	h.CRC32 = crc32.ChecksumIEEE(b)
	h.CompressedSize64 = uint64(len(b))
	if h.UncompressedSize64 == 0 {
		h.UncompressedSize64 = uint64(len(b))
	}
	w, err := z.CreateRaw(&h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
}

func TestEvilEntries(t *testing.T) {
	good := small(t).seal(t, Options{})
	evil := []byte("evil")
	mode := func(name string, mode os.FileMode) zip.FileHeader {
		h := zip.FileHeader{Name: name}
		h.SetMode(mode)
		return h
	}
	blob := blobName(digest.Of(evil))
	for name, c := range map[string]struct {
		header zip.FileHeader
		want   string
	}{
		"traversal":              {mode("../../etc/cron.d/evil", 0o644), "no place in a volume"},
		"traversal in trust":     {mode("trust/../../evil.json", 0o644), "metadata name"},
		"traversal in blobs":     {mode("blobs/sha256/../../evil", 0o644), "not a sha256"},
		"absolute":               {mode("/etc/passwd", 0o644), "no place in a volume"},
		"backslash":              {mode(`trust\..\evil.json`, 0o644), "no place in a volume"},
		"line feed":              {mode("trust/a\n.json", 0o644), "metadata name"},
		"hidden":                 {mode("trust/.json", 0o644), "metadata name"},
		"folder":                 {mode("blobs", 0o755|os.ModeDir), "no place in a volume"},
		"symlink":                {mode(blob, 0o777|os.ModeSymlink), "a link, a device"},
		"device":                 {mode(blob, 0o644|os.ModeDevice), "a link, a device"},
		"character device":       {mode(blob, 0o644|os.ModeDevice|os.ModeCharDevice), "a link, a device"},
		"pipe":                   {mode(blob, 0o644|os.ModeNamedPipe), "a link, a device"},
		"setuid":                 {mode(blob, 0o755|os.ModeSetuid), "a link, a device"},
		"program":                {mode(blob, 0o755), "mode 100755"},
		"compressed":             {zip.FileHeader{Name: blob, Method: zip.Deflate}, ""},
		"bomb":                   {zip.FileHeader{Name: blob, Method: zip.Deflate, UncompressedSize64: 1 << 40}, ""},
		"compressed otherwise":   {zip.FileHeader{Name: blob, Method: 93}, "compressed (method 93)"},
		"compressed index":       {zip.FileHeader{Name: nameIndex, Method: zip.Deflate}, "compressed (method 8)"},
		"stored bomb":            {func() zip.FileHeader { h := mode(blob, 0o644); h.UncompressedSize64 = 1 << 40; return h }(), ""},
		"duplicate index":        {mode(nameIndex, 0o644), "appears twice"},
		"duplicate metadata":     {mode("trust/timestamp.json", 0o644), "appears twice"},
		"metadata not listed":    {mode("trust/9.root.json", 0o644), ""},
		"blob out of order":      {mode(blobName("sha256:"+digest.Digest(strings.Repeat("0", 64))), 0o644), ""},
		"with a comment":         {func() zip.FileHeader { h := mode(blob, 0o644); h.Comment = "x"; return h }(), ""},
		"with an extra field":    {func() zip.FileHeader { h := mode(blob, 0o644); h.Extra = []byte{1, 2, 0, 0}; return h }(), ""},
		"encrypted":              {func() zip.FileHeader { h := mode(blob, 0o644); h.Flags = 1; return h }(), ""},
		"another digest's bytes": {mode(blobName("sha256:"+digest.Digest(strings.Repeat("f", 64))), 0o644), ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := archive(t, good, func(t *testing.T, z *zip.Writer) { raw(t, z, c.header, evil) })
			if msg := refused(t, path); !strings.Contains(msg, c.want) {
				t.Errorf("%s\ndoes not say %q", msg, c.want)
			}
		})
	}
}

// forged lays out content with change made to the plan in between, all sums right:
// what a careful attacker would do.
func forged(t *testing.T, f *fixture, change func(p *plan)) string {
	t.Helper()
	p, err := makePlan(f.Content, nil)
	if err != nil {
		t.Fatal(err)
	}
	change(p)
	return layOut(t, f, p)
}

// layOut writes p with the blobs of f.
func layOut(t *testing.T, f *fixture, p *plan) string {
	t.Helper()
	b := slices.Clone(p.stub)
	for i := range p.members {
		m := &p.members[i]
		data := p.files[m.name]
		if d := m.digest(); d != "" {
			data = f.blobs[d]
			m.crc = crc32.ChecksumIEEE(data)
			if m.packed > 0 {
				data = squeeze(data)
			}
		}
		if int64(len(b)) < m.header {
			b = append(b, make([]byte, m.header-int64(len(b)))...)
		}
		b = append(appendLocal(b, m), data...)
	}
	directory, end := tail(p.members, int64(len(b)))
	b = append(append(b, directory...), end...)
	path := filepath.Join(t.TempDir(), "forged.volume")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestForgedLayouts(t *testing.T) {
	if err := check(t, forged(t, small(t), func(*plan) {})); err != nil {
		t.Fatalf("the forger's tool makes no good volume: %v", err)
	}
	last := func(p *plan) *member { return &p.members[len(p.members)-1] }
	for name, change := range map[string]func(p *plan){
		"gap":               func(p *plan) { last(p).header += 10 },
		"overlap":           func(p *plan) { last(p).header = p.members[0].header },
		"far away":          func(p *plan) { last(p).header = 1 << 20 },
		"order":             func(p *plan) { n := len(p.members); p.members[n-1], p.members[n-2] = p.members[n-2], p.members[n-1] },
		"entry twice":       func(p *plan) { p.members = append(p.members, *last(p)) },
		"no index":          func(p *plan) { p.drop(nameIndex) },
		"no layout":         func(p *plan) { p.drop(nameLayout) },
		"no document":       func(p *plan) { p.drop(nameDocument) },
		"no agent":          func(p *plan) { p.members = p.members[:6] },
		"another program":   func(p *plan) { copy(p.stub[300:], "rm -rf /\n") },
		"program in filler": func(p *plan) { copy(p.stub[stubSize-20:], "echo evil\n") },
		"stub of another":   func(p *plan) { p.stub, _ = stub(nil, nil) },
		"metadata replaced": func(p *plan) {
			p.files["trust/timestamp.json"] = []byte(`{"signed":9}`) // same length; only its digest in the document tells
			i := slices.IndexFunc(p.members, func(m member) bool { return m.name == "trust/timestamp.json" })
			p.members[i].crc = crc32.ChecksumIEEE(p.files["trust/timestamp.json"])
		},
	} {
		t.Run(name, func(t *testing.T) { refused(t, forged(t, small(t), change)) })
	}
}

func (p *plan) drop(name string) {
	p.members = slices.DeleteFunc(p.members, func(m member) bool { return m.name == name })
}

func TestOversizedMetadata(t *testing.T) {
	for _, name := range []string{nameIndex, nameDocument, prefixTrust + "1.root.json"} {
		path := forged(t, small(t), func(p *plan) {
			p.files[name] = append(p.files[name], bytes.Repeat([]byte(" "), maxFile)...)
			for i := range p.members {
				m := &p.members[i]
				m.size, m.crc = int64(len(p.files[m.name])), crc32.ChecksumIEEE(p.files[m.name])
				if d := m.digest(); d != "" {
					m.size = 0
				}
			}
		})
		if msg := refused(t, path); !strings.Contains(msg, "at most") && !strings.Contains(msg, "belongs") {
			t.Errorf("%s: %s", name, msg)
		}
	}
	// An end record that announces more entries than the limit is refused
	// before memory is taken for them.
	good := small(t).seal(t, Options{})
	path := forge(t, good, func(b []byte) []byte { return append(b[:len(b)-lenEnd], appendEnd(nil, maxEntries+1, 0, 1<<40)...) })
	if msg := refused(t, path); !strings.Contains(msg, "out of range") && !strings.Contains(msg, "at most") {
		t.Error(msg)
	}
}

func TestOtherFormats(t *testing.T) {
	for digit, hint := range map[byte]string{'4': "newer", '2': "seal it again"} {
		path := forge(t, small(t).seal(t, Options{}), func(b []byte) []byte { b[len(magicStem)] = digit; return b })
		_, err := Open(path)
		if errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), fmt.Sprintf("version %q", string(digit))) || !strings.Contains(errs.HintOf(err), hint) {
			t.Errorf("%c: %v", digit, err)
		}
	}
}

func TestExtractOfDamagedVolumeLeavesNothing(t *testing.T) {
	f := small(t)
	good := f.seal(t, Options{})
	v := open(t, good)
	for _, e := range v.Entries() {
		if e.Size == 0 {
			continue
		}
		path := forge(t, good, func(b []byte) []byte { b[e.Offset] ^= 1; return b })
		dir := t.TempDir()
		var err error
		if bad, oerr := Open(path); oerr != nil {
			err = oerr
		} else {
			err = bad.Extract(t.Context(), filepath.Join(dir, "out"), fsx.FS{})
			if cerr := bad.Close(); cerr != nil {
				t.Error(cerr)
			}
		}
		if errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s: %v", e.Name, err)
		}
		empty(t, dir)
	}
}

func TestExtractWritesOnlyToItsStage(t *testing.T) {
	v := open(t, small(t).seal(t, Options{}))
	parent := t.TempDir()
	dir := filepath.Join(parent, "out")
	if err := os.Mkdir(dir+stageSuffix, 0o755); err != nil { // what a killed one left
		t.Fatal(err)
	}
	watch := fsx.FS{Before: func(op fsx.Op) error {
		if op.Path != parent && !strings.HasPrefix(op.Path, dir) {
			t.Errorf("%s %s", op.Name, op.Path)
		}
		return nil
	}}
	if err := v.Extract(t.Context(), dir, watch); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + stageSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Error("the stage is still there")
	}
}
