package source_test

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1" //nolint:gosec // what git names objects with
	"encoding/binary"
	"encoding/hex"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/errs"
)

// A pack of a few bytes holds a delta that says that it unpacks to 64 GiB, under a name that nobody
// compares with it. Git would set that much memory aside before it looks.
func TestAnObjectThatUnpacksToAllMemory(t *testing.T) {
	r := newRepo(t)
	r.commit(map[string]string{"a": "x"})
	base, name := r.git("rev-parse", "HEAD:a"), strings.Repeat("ab", sha1.Size)
	packWithDelta(t, filepath.Join(r.dir, ".git", "objects", "pack"), base, name, 64<<30)
	list := filepath.Join(t.TempDir(), "tree")
	if err := os.WriteFile(list, []byte("100644 blob "+name+"\toverland.yaml\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tree := rawMissing(t, r, list)
	c := r.resolve(r.git("commit-tree", "-m", "bomb", tree))
	for what, try := range map[string]func() error{
		"read":  func() error { _, err := r.open().ReadFile(t.Context(), c, "overland.yaml"); return err },
		"pack":  func() error { return r.open().Pack(t.Context(), c, &bytes.Buffer{}) },
		"write": func() error { _, err := r.open().Checkout(t.Context(), c, t.TempDir()); return err },
	} {
		err := try()
		little := err != nil && (what == "write" && strings.Contains(err.Error(), "half of what is free") || what == "read" && strings.Contains(err.Error(), "longer than"))
		if errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" || !little && !strings.Contains(err.Error(), "more memory than") {
			t.Errorf("%s: %v, hint %q", what, err, errs.HintOf(err))
		}
	}
}

// packWithDelta writes a pack and its index into dir (gitformat-pack): the object name is a delta to the object
// base, of one byte, and says that it has size bytes.
func packWithDelta(t *testing.T, dir, base, name string, size uint64) {
	t.Helper()
	raw := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	delta := binary.AppendUvarint(binary.AppendUvarint(nil, 1), size)
	delta = append(delta, 1, 'x') // insert one byte
	pack := []byte("PACK\x00\x00\x00\x02\x00\x00\x00\x02")
	at := map[string]int{base: len(pack)}
	add := func(kind byte, content []byte) {
		pack = append(pack, kind<<4|byte(len(content)))
		if kind == 7 {
			pack = append(pack, raw(base)...)
		}
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		if _, err := w.Write(content); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		pack = append(pack, z.Bytes()...)
	}
	add(3, []byte("x"))
	at[name] = len(pack)
	add(7, delta)
	sum := sha1.Sum(pack) //nolint:gosec // the format's
	pack = append(pack, sum[:]...)
	index := []byte("\xfftOc\x00\x00\x00\x02")
	names := slices.Sorted(maps.Keys(at))
	for first := range 256 {
		n := 0
		for _, name := range names {
			if int(raw(name)[0]) <= first {
				n++
			}
		}
		index = binary.BigEndian.AppendUint32(index, uint32(n))
	}
	for _, name := range names {
		index = append(index, raw(name)...)
	}
	index = append(index, make([]byte, 4*len(names))...) // checksums, which nobody looks at
	for _, name := range names {
		index = binary.BigEndian.AppendUint32(index, uint32(at[name]))
	}
	index = append(index, sum[:]...)
	end := sha1.Sum(index) //nolint:gosec // the format's
	index = append(index, end[:]...)
	for ext, b := range map[string][]byte{"pack": pack, "idx": index} {
		if err := os.WriteFile(filepath.Join(dir, "pack-"+hex.EncodeToString(sum[:])+"."+ext), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// rawMissing returns the tree that the file list describes, of objects that need not be whole.
func rawMissing(t *testing.T, r repo, list string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "-C", r.dir, "mktree", "--missing")
	in, err := os.Open(list)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd.Stdin = in
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
