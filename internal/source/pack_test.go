package source_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/source"
)

// history returns a repository with a merge, a file over several stored blocks, a
// link, a program and an empty file.
func history(t *testing.T, args ...string) repo {
	r := newRepo(t, args...)
	long := make([]byte, 3*source.StoredBlock+1)
	for i := range long {
		long[i] = byte(i * i >> 8)
	}
	r.commit(map[string]string{"old": "only in the past", "long": string(long[:source.StoredBlock]), "sub/a": "a"})
	r.git("checkout", "-q", "-b", "side")
	r.commit(map[string]string{"side": "s"})
	r.git("checkout", "-q", "main")
	r.git("rm", "-q", "old")
	r.write("run.sh", "#!/bin/sh\n")
	if err := errors.Join(os.Symlink("sub/a", filepath.Join(r.dir, "link")), os.Chmod(filepath.Join(r.dir, "run.sh"), 0o755)); err != nil {
		t.Fatal(err)
	}
	r.commit(map[string]string{"long": string(long), "empty": "", "sub/deep/b": "b", ".gitattributes": "*.txt text eol=crlf\n", "x.txt": "1\n"})
	r.git("merge", "-q", "--no-edit", "side")
	return r
}

func packOf(t *testing.T, r *source.Repo, c source.Commit) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := r.Pack(t.Context(), c, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPackAndUnpack(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) {
			r := history(t, "--object-format="+format)
			c := r.resolve("HEAD")
			pack := packOf(t, r.open(), c)
			dir := filepath.Join(t.TempDir(), "source")
			got, err := source.Unpack(t.Context(), bytes.NewReader(pack), c.Hash, dir)
			if err != nil {
				t.Fatal(err)
			}
			head, err := got.Resolve(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c, head); diff != "" {
				t.Error(diff)
			}
			again := repo{t, dir}
			if diff := cmp.Diff(r.checkout(c), again.checkout(head)); diff != "" {
				t.Error(diff)
			}
			if got := again.git("status", "--porcelain"); got != "" {
				t.Errorf("git status says %s", got)
			}
			again.git("fsck") // older files are missing, and that is no fault
			if _, err := os.Stat(filepath.Join(dir, ".git", "hooks")); err == nil {
				t.Error("there are hooks")
			}
			if second := packOf(t, again.open(), head); !bytes.Equal(second, pack) {
				t.Error("packed again, the pack is another one")
			}
		})
	}
}

// The bytes of a pack are a format: who changes them changes the
// digest of every release with inputs.
func TestPackIsOneForOneCommit(t *testing.T) {
	r := history(t)
	c := r.resolve("HEAD")
	first := packOf(t, r.open(), c)
	const want = "sha256:a4481a56834b62c01b7d26e484b50932b7ff35707169dd236d03bfb3fb5b33ba"
	if d := digest.Of(first); d != want {
		t.Errorf("the pack is %s, want %s", d, want)
	}
	r.git("config", "core.compression", "9")
	r.git("gc", "-q", "--aggressive", "--prune=now")
	r.git("branch", "another")
	if !bytes.Equal(first, packOf(t, r.open(), c)) {
		t.Error("after git gc the pack is another one")
	}
}

// A tag that a version names travels with its commit.
func TestPackHoldsTheTag(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		r := history(t, "--object-format="+format)
		r.git("tag", "-a", "v1.2.3", "-m", "one", "HEAD~1")
		c, err := r.describe()
		if err != nil {
			t.Fatal(err)
		}
		pack := packOf(t, r.open(), c)
		dir := filepath.Join(t.TempDir(), "source")
		if _, err := source.Unpack(t.Context(), bytes.NewReader(pack), c.Hash, dir); err != nil {
			t.Fatal(err)
		}
		again := repo{t, dir}
		got, err := again.describe()
		if diff := cmp.Diff(c, got); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		if !bytes.Equal(packOf(t, again.open(), got), pack) {
			t.Error("packed again, the pack is another one")
		}
	}
}

func TestPackRefuses(t *testing.T) {
	r := history(t)
	c := r.resolve("HEAD")
	r.write("new", "n")
	dirty, err := r.open().Dirty(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.open().Pack(t.Context(), dirty, io.Discard); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a folder as it is: %v", err)
	}
	full := errors.New("full")
	if err := r.open().Pack(t.Context(), c, failing{full}); !errors.Is(err, full) {
		t.Errorf("a writer that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.open().Pack(ctx, c, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	r.git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+",module")
	r.git("commit", "-q", "-m", "a submodule")
	// A submodule is not part of the repository, and the rest is whole without it.
	c = r.resolve("HEAD~0")
	pack := packOf(t, r.open(), c)
	repo, err := source.Unpack(t.Context(), bytes.NewReader(pack), c.Hash, filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	left, err := repo.Checkout(t.Context(), c, t.TempDir())
	if err != nil || len(left) != 1 || left[0].Kind != source.Submodule {
		t.Errorf("%v, %v", left, err)
	}
}

// A few kilobytes of a pack are files without end: they are refused before git reads one that is
// compressed, and before one is written whose content is named again and again.
func TestAPackOfAFewKilobytesIsNotTerabytes(t *testing.T) {
	r := newRepo(t)
	r.commit(map[string]string{"z": strings.Repeat("$Id$", 4<<20), ".gitattributes": "* ident\n"})
	kind, hash := "100644 blob", r.git("rev-parse", "HEAD:z")
	for _, width := range []int{40, 50, 100} { // 3 TB
		hash, kind = r.tree(kind, hash, width), "040000 tree"
	}
	c := r.resolve(r.git("commit-tree", "-m", "many bytes", hash))
	dir := filepath.Join(t.TempDir(), "source")
	pack := packOf(t, r.open(), c)
	_, err := source.Unpack(t.Context(), bytes.NewReader(pack), c.Hash, dir)
	if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "half of what is free") || errs.HintOf(err) == "" {
		t.Error(err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("%d files were written, %v", len(list)-1, err)
	}
	// Nor does what the commit says of its files make them longer.
	c = r.resolve("HEAD")
	dir = filepath.Join(t.TempDir(), "source")
	if _, err := source.Unpack(t.Context(), bytes.NewReader(packOf(t, r.open(), c)), c.Hash, dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "z")); err != nil || info.Size() != 16<<20 {
		t.Errorf("%v, %v", info, err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestUnpackRefuses(t *testing.T) {
	r := history(t)
	c := r.resolve("HEAD")
	pack := packOf(t, r.open(), c)
	other := newRepo(t)
	other.commit(map[string]string{"a": "a"})
	flipped := bytes.Clone(pack)
	flipped[len(flipped)/2] ^= 1
	// A pack that git makes of the tip alone: its commits are whole,
	// and the older ones are not there.
	cmd := exec.Command("git", "-C", r.dir, "-c", "pack.compression=0", "pack-objects", "-q", "--stdout", "--revs", "--window=0", "--no-reuse-object")
	cmd.Stdin = strings.NewReader(c.Hash + "\n^" + c.Hash + "^1\n^" + c.Hash + "^2\n")
	tip, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	whole := exec.Command("git", "-C", r.dir, "pack-objects", "-q", "--stdout", "--revs")
	whole.Stdin = strings.NewReader(c.Hash + "\n")
	compressed, err := whole.Output()
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		r    io.Reader
		want string
		kind errs.Kind
	}{
		"empty":              {bytes.NewReader(nil), c.Hash, errs.Untrusted},
		"no pack":            {bytes.NewReader([]byte("hello, this is no pack at all")), c.Hash, errs.Untrusted},
		"cut":                {bytes.NewReader(pack[:len(pack)-30]), c.Hash, errs.Untrusted},
		"flipped":            {bytes.NewReader(flipped), c.Hash, errs.Untrusted},
		"another commit":     {bytes.NewReader(packOf(t, other.open(), other.resolve("HEAD"))), c.Hash, errs.Untrusted},
		"one of git's own":   {bytes.NewReader(compressed), c.Hash, errs.Untrusted},
		"a tree":             {bytes.NewReader(pack), c.Tree, errs.Untrusted},
		"without its past":   {bytes.NewReader(tip), c.Hash, errs.Untrusted},
		"no hash":            {bytes.NewReader(pack), "--upload-pack=x", errs.Invalid},
		"a name":             {bytes.NewReader(pack), "HEAD", errs.Invalid},
		"a reader that ends": {io.MultiReader(bytes.NewReader(pack[:100]), iotest.ErrReader(errs.E(errs.Unavailable, broken))), c.Hash, errs.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := source.Unpack(t.Context(), test.r, test.want, filepath.Join(t.TempDir(), "source"))
			if errs.KindOf(err) != test.kind {
				t.Errorf("error %v of kind %v, want %v", err, errs.KindOf(err), test.kind)
			}
			t.Log(err)
		})
	}
	if _, err := source.Unpack(t.Context(), bytes.NewReader(pack), c.Hash, r.dir); errs.KindOf(err) != errs.Conflict {
		t.Errorf("into a folder that is not empty: %v", err)
	}
}
