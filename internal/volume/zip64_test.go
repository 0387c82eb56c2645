package volume

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
)

// A blob longer than 4 GiB, and one that begins beyond: the file is written with
// a hole, and read by others too.
func TestLargeBlob(t *testing.T) {
	f := small(t)
	// Not big itself: Info-ZIP 6.0 takes that size, read from the ZIP64 field, for
	// the mark that asks for the field.
	for _, size := range []int64{big - 1, big + 1, 5 << 30} {
		name := make([]byte, 8)
		binary.BigEndian.PutUint64(name, uint64(size))
		f.Blobs = append(f.Blobs, ocispec.Descriptor{Digest: digest.Of(name), Size: size})
	}
	p, err := makePlan(f.Content, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "large.volume")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	put := func(b []byte, off int64) {
		if _, err := file.WriteAt(b, off); err != nil {
			t.Fatal(err)
		}
	}
	put(p.stub, 0)
	for i := range p.members {
		m := &p.members[i]
		put(appendLocal(nil, m), m.header)
		put(p.files[m.name], m.data)
	}
	directory, end := tail(p.members, p.dir)
	put(append(directory, end...), p.dir)

	v := open(t, path)
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	beyond := 0
	for i, e := range v.Entries() {
		off, err := z.File[i].DataOffset()
		if err != nil || off != e.Offset || int64(z.File[i].UncompressedSize64) != e.Size || z.File[i].Name != e.Name {
			t.Errorf("archive/zip sees %s of %d bytes at %d, not %v: %v", z.File[i].Name, z.File[i].UncompressedSize64, off, e, err)
		}
		if e.Offset > big {
			beyond++
		}
	}
	if beyond == 0 {
		t.Error("no entry begins beyond 4 GiB")
	}
	if out, err := exec.Command("unzip", "-l", path).CombinedOutput(); err != nil {
		t.Errorf("unzip -l: %v\n%s", err, out)
	}
}

// Below 4 GiB the standard library writes a volume's archive byte for byte: decision 0026
// says why it does not do so here.
func TestArchiveZipWritesTheSame(t *testing.T) {
	good := small(t).seal(t, Options{})
	theirs := archive(t, good, func(*testing.T, *zip.Writer) {})
	if !bytes.Equal(read(t, theirs), read(t, good)) {
		t.Error("archive/zip writes another archive")
	}
}

// More entries than 16 bits count.
func TestManyBlobs(t *testing.T) {
	t.Parallel()
	f := small(t)
	for k := range uint32(bigCount + 10) {
		f.add("application/octet-stream", binary.BigEndian.AppendUint32(nil, k))
	}
	path := f.seal(t, Options{})
	if err := check(t, path); err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if got, want := len(z.File), len(open(t, path).Entries()); got != want || got <= bigCount {
		t.Errorf("archive/zip sees %d entries of %d", got, want)
	}
	if out, err := exec.Command("unzip", "-tqq", path).CombinedOutput(); err != nil {
		t.Errorf("unzip -t: %v\n%s", err, out)
	}
}
