package volume

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"overland/internal/deflate"
	"overland/internal/digest"
	"overland/internal/errs"
)

// FuzzOpen reads what follows the stub of a volume without agents. What the reader
// accepts and Verify passes must be what Seal makes of the same content, byte for byte:
// there are no two files for one content.
func FuzzOpen(f *testing.F) {
	content := small(f)
	content.Agents = nil
	b := read(f, content.seal(f, Options{}))
	f.Add(b[stubSize:])
	f.Add(b[stubSize : len(b)-1])
	f.Add(read(f, content.seal(f, Options{Pack: deflate.NewWriter}))[stubSize:])
	f.Add([]byte{})
	head, err := stub(nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, rest []byte) {
		b := append(bytes.Clone(head), rest...)
		var v Volume
		if err := v.read(bytes.NewReader(b), int64(len(b))); err != nil {
			if errs.KindOf(err) != errs.Untrusted {
				t.Fatalf("%v: %v", errs.KindOf(err), err)
			}
			return
		}
		path := filepath.Join(dir, "v")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if check(t, path) != nil {
			return
		}
		again := reseal(t, path)
		if !bytes.Equal(again, b) {
			t.Fatal("a volume that Seal would not make was accepted")
		}
	})
}

// reseal returns the bytes of a volume with the same content as path.
func reseal(t *testing.T, path string) []byte {
	t.Helper()
	v := open(t, path)
	f := &fixture{blobs: map[digest.Digest][]byte{}}
	f.Trust = map[string][]byte{}
	f.Open = func(d digest.Digest) (io.ReadCloser, error) {
		r, _, err := v.Open(t.Context(), d, 0)
		return r, err
	}
	var err error
	if f.Index, err = v.Index(); err != nil {
		t.Fatal(err)
	}
	for _, name := range v.MetadataNames() {
		if f.Trust[name], err = v.Metadata(t.Context(), name, maxFile); err != nil {
			t.Fatal(err)
		}
	}
	for i := range v.members {
		if d := v.members[i].digest(); d != "" {
			b, err := v.Bytes(t.Context(), d, maxFile)
			if err != nil {
				t.Fatal(err)
			}
			f.add("application/octet-stream", b)
		}
	}
	f.Agents = v.Agents()
	var o Options
	if len(v.doc.Packed) > 0 {
		o.Pack = deflate.NewWriter
	}
	return read(t, f.seal(t, o))
}

func FuzzDocument(f *testing.F) {
	content := small(f)
	b, err := marshalDocument([]Agent{content.Agents[1], content.Agents[0]}, map[string][]byte{nameIndex: nil}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"volume":3,"files":{"../x":""}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		doc, err := parseDocument(b)
		if err != nil {
			return
		}
		for name := range doc.Files {
			if !filepath.IsLocal(name) {
				t.Errorf("accepts the name %q", name)
			}
		}
		if len(doc.Agents) > 0 && checkAgents(doc.agents()) != nil {
			t.Error("accepts agents that it must not")
		}
	})
}

func FuzzPartList(f *testing.F) {
	f.Add(manifest{digest.Of(nil), digest.Of([]byte("1"))}.marshal("v"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b, "v")
		if err == nil && !bytes.Equal(m.marshal("v"), b) {
			t.Error("two texts for one list")
		}
	})
}

// The corpus that is checked in must keep reaching the inside: its first seed is a whole volume.
func TestFuzzSeedIsWhole(t *testing.T) {
	content := small(t)
	content.Agents = nil
	if err := check(t, content.seal(t, Options{})); err != nil {
		t.Error(err)
	}
}
