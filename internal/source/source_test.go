package source_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"overland/internal/errs"
	"overland/internal/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// repo is a git repository that a test writes to with an ordinary git.
type repo struct {
	t   *testing.T
	dir string
}

func newRepo(t *testing.T, args ...string) repo {
	r := repo{t, t.TempDir()}
	r.git(append([]string{"init", "-q", "-b", "main"}, args...)...)
	return r
}

func (r repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org",
		"GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r repo) write(name, content string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r repo) commit(files map[string]string) string {
	r.t.Helper()
	for name, content := range files {
		r.write(name, content)
	}
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", "a subject\n\nand a body")
	return r.git("rev-parse", "HEAD")
}

// link puts a symbolic link into the index.
func (r repo) link(name, to string) {
	r.t.Helper()
	r.write(".git/link", to)
	r.git("update-index", "--add", "--cacheinfo", "120000,"+r.git("hash-object", "-w", ".git/link")+","+name)
}

// tree returns a tree that names one object width times.
func (r repo) tree(kind, hash string, width int) string {
	r.t.Helper()
	var tree strings.Builder
	for i := range width {
		fmt.Fprintf(&tree, "%s %s\t%d\n", kind, hash, i)
	}
	cmd := exec.Command("git", "mktree")
	cmd.Dir, cmd.Stdin = r.dir, strings.NewReader(tree.String())
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// dirty returns what the folder holds, with a file more than its commit.
func (r repo) dirty() source.Commit {
	r.t.Helper()
	r.write("zz-new", "new")
	c, err := r.open().Dirty(r.t.Context())
	if err != nil || !c.Working() {
		r.t.Fatalf("%+v, %v", c, err)
	}
	return c
}

func (r repo) open() *source.Repo {
	r.t.Helper()
	got, err := source.Open(r.t.Context(), r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

func (r repo) resolve(rev string) source.Commit {
	r.t.Helper()
	c, err := r.open().Resolve(r.t.Context(), rev)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// checkout returns what Checkout writes: path → "mode content".
func (r repo) checkout(c source.Commit) map[string]string {
	r.t.Helper()
	dir := filepath.Join(r.t.TempDir(), "out")
	if _, err := r.open().Checkout(r.t.Context(), c, dir); err != nil {
		r.t.Fatal(err)
	}
	return files(r.t, dir)
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			to, err := os.Readlink(path)
			got[name] = "link " + to
			return err
		}
		b, err := os.ReadFile(path)
		got[name] = info.Mode().String() + " " + string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestResolve(t *testing.T) {
	r := newRepo(t)
	first := r.commit(map[string]string{"a": "1"})
	r.git("tag", "-a", "v1", "-m", "one")
	second := r.commit(map[string]string{"sub/b": "2"})

	for rev, want := range map[string]string{"": second, "HEAD": second, "main": second, "v1": first, first: first, first[:8]: first, "HEAD~1": first} {
		c := r.resolve(rev)
		if c.Hash != want {
			t.Errorf("Resolve(%q) = %s, want %s", rev, c.Hash, want)
		}
	}
	c := r.resolve("")
	if want := "r2." + second[:12]; c.Version != want || c.Count != 2 {
		t.Errorf("version %s (count %d), want %s", c.Version, c.Count, want)
	}
	if want := r.git("rev-parse", "HEAD^{tree}"); c.Tree != want {
		t.Errorf("tree %s, want %s", c.Tree, want)
	}
	if got := c.Time.Format("2006-01-02T15:04:05Z07:00"); got != "2026-01-02T03:04:05Z" {
		t.Errorf("time %s", got)
	}
	if c.Subject != "a subject" || c.Dirty || c.Working() {
		t.Errorf("got %+v", c)
	}
}

func TestOpenBelowTheTopAndBareAndWorktreeAndSHA256(t *testing.T) {
	r := newRepo(t, "--object-format=sha256")
	hash := r.commit(map[string]string{"sub/a": "1"})
	if len(hash) != 64 {
		t.Fatalf("hash %s: not sha256", hash)
	}
	below, err := source.Open(t.Context(), filepath.Join(r.dir, "sub"))
	if err != nil {
		t.Fatal(err)
	}
	top, _ := filepath.EvalSymlinks(r.dir)
	if got, _ := filepath.EvalSymlinks(below.Dir()); got != top {
		t.Errorf("Dir() = %s, want %s", got, top)
	}
	tree := filepath.Join(t.TempDir(), "tree")
	r.git("worktree", "add", "-q", tree)
	bare := filepath.Join(t.TempDir(), "bare")
	r.git("clone", "-q", "--bare", r.dir, bare)
	for _, dir := range []string{filepath.Join(r.dir, "sub"), tree, bare, filepath.Join(r.dir, ".git")} {
		if c := (repo{t, dir}).resolve(""); c.Hash != hash || c.Dirty {
			t.Errorf("%s: got %+v", dir, c)
		}
		if got := (repo{t, dir}).checkout(r.resolve("")); len(got) != 1 {
			t.Errorf("%s: checked out %v", dir, got)
		}
	}
}

func TestErrorsHaveKindAndHint(t *testing.T) {
	empty := newRepo(t)
	full := newRepo(t)
	full.commit(map[string]string{"a": "1"})
	full.commit(map[string]string{"a": "2"})
	shallow := repo{t, filepath.Join(t.TempDir(), "shallow")}
	full.git("clone", "-q", "--depth", "1", "file://"+full.dir, shallow.dir)

	for _, test := range []struct {
		name, dir, rev string
		kind           errs.Kind
		says, hint     string
	}{
		{"no folder", filepath.Join(full.dir, "none"), "", errs.NotFound, "no folder", "name the folder"},
		{"no repository", t.TempDir(), "", errs.NotFound, "not in a git repository", "git init"},
		{"no commit", empty.dir, "", errs.NotFound, "no commit yet", "git commit"},
		{"unknown revision", full.dir, "v9", errs.NotFound, `"v9"`, "git tag"},
		{"an option", full.dir, "--all", errs.Invalid, `"--all"`, "git branch"},
		{"two lines", full.dir, "main\nmain", errs.Invalid, "not a branch", "git branch"},
		{"a tree", full.dir, "HEAD^{tree}", errs.NotFound, "no such commit", "git branch"},
		{"shallow clone", shallow.dir, "", errs.Invalid, "shallow clone", "git fetch --unshallow"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := source.Open(t.Context(), test.dir)
			if err == nil {
				_, err = r.Resolve(t.Context(), test.rev)
			}
			if err == nil || errs.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v (%v), want %v with %q", err, errs.KindOf(err), test.kind, test.says)
			}
			if !strings.Contains(errs.HintOf(err), test.hint) {
				t.Errorf("hint %q, want %q in it", errs.HintOf(err), test.hint)
			}
		})
	}
}

func TestCheckoutIsTheCommit(t *testing.T) {
	r := newRepo(t)
	r.write(".gitattributes", "secret export-ignore\nversion.txt export-subst\n*.txt text eol=crlf ident\n")
	r.write("version.txt", "$Format:%H$ $Id$\n")
	r.write("secret", "kept")
	r.write("run.sh", "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(r.dir, "run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"sub/in": "../secret", "sub/up": "../../etc", "abs": "/etc/passwd"} {
		if err := os.MkdirAll(filepath.Join(r.dir, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(r.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	r.commit(nil)
	c := r.resolve("")

	// What is in the folder by now does not matter.
	r.write("secret", "changed")
	r.write("new", "untracked")
	got := r.checkout(c)
	want := map[string]string{
		".gitattributes": "-rw-r--r-- secret export-ignore\nversion.txt export-subst\n*.txt text eol=crlf ident\n",
		"version.txt":    "-rw-r--r-- $Format:%H$ $Id$\n",
		"secret":         "-rw-r--r-- kept",
		"run.sh":         "-rwxr-xr-x #!/bin/sh\n",
		"sub/in":         "link ../secret",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("checkout (-want +got):\n%s", diff)
	}
	if c := r.resolve(""); !c.Dirty || !cmp.Equal(c.Changed, []string{"new", "secret"}) || len(c.Modified) > 1 {
		t.Errorf("Dirty %v, Changed %v", c.Dirty, c.Changed)
	}
	if _, err := r.open().Checkout(t.Context(), c, r.dir); errs.KindOf(err) != errs.Conflict {
		t.Errorf("checkout over a full folder: %v", err)
	}
}

// What is not in the repository is left, and told: an error is for those who need it.
func TestACheckoutTellsWhatItLeaves(t *testing.T) {
	r := newRepo(t)
	r.commit(map[string]string{"a": "1", "deep/big.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "x/y/z": "2"})
	r.git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+",third/lib")
	for name, to := range map[string]string{
		"absolute": "/etc/passwd", "up": "../up", "deep/up": "../../x", "in": "deep/big.bin", "x/y/near": "../../a", "dangling": "none",
		// These look as if they stayed: "here/.." is the folder above, for here is the top itself.
		"here": ".", "parent": "here/..", "grandparent": "parent/..", "leak": "grandparent/etc/passwd", "folder": "x/y",
		"self": "self",
	} {
		r.link(name, to)
	}
	r.git("commit", "-q", "-m", "links")
	r.git("reset", "-q", "--hard")
	for _, c := range []source.Commit{r.resolve("HEAD~0"), r.dirty()} {
		dir := filepath.Join(t.TempDir(), "out")
		left, err := r.open().Checkout(t.Context(), c, dir)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range left {
			got = append(got, l.String())
			if errs.KindOf(l.Err()) != errs.Invalid || errs.HintOf(l.Err()) == "" {
				t.Errorf("%v", l.Err())
			}
		}
		const link = " is a symbolic link that leaves the repository"
		want := []string{
			"absolute" + link, "deep/big.bin is a Git LFS pointer: its content is not in the repository", "deep/up" + link, "grandparent" + link,
			"leak" + link, "parent" + link, "self" + link, "third/lib is a submodule that is not in this clone", "up" + link,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.Version, diff)
		}
		for _, name := range []string{"absolute", "parent", "leak", "up", "deep/up"} {
			if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is there: %v", name, err)
			}
		}
		for _, name := range []string{"in", "x/y/near", "folder/z", "deep/big.bin", "third/lib"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
		}
	}
	if err := r.open().Pack(t.Context(), r.resolve("HEAD~0"), io.Discard); err != nil {
		t.Errorf("pack: %v", err)
	}
}

// A submodule that git keeps in the clone is checked out at the commit that is pinned, whatever its
// folder holds by now, and travels in the source pack.
func TestASubmoduleIsItsPinnedCommit(t *testing.T) {
	inner, third, r := newRepo(t), newRepo(t), newRepo(t)
	inner.commit(map[string]string{"deep": "1"})
	add := func(r repo, from repo, at string) {
		r.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", from.dir, at)
	}
	third.commit(map[string]string{"lib.go": "pinned"})
	add(third, inner, "in")
	third.commit(nil)
	r.commit(map[string]string{"main": "1"})
	add(r, third, "third/lib")
	r.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--recursive")
	r.commit(nil)

	moved := repo{t, filepath.Join(r.dir, "third", "lib")}
	moved.commit(map[string]string{"lib.go": "newer"})
	r.git("config", "diff.ignoreSubmodules", "all")
	for _, c := range []source.Commit{r.resolve("HEAD~0"), r.dirty()} {
		dir := filepath.Join(t.TempDir(), "out")
		left, err := r.open().Checkout(t.Context(), c, dir)
		if err != nil || len(left) != 0 {
			t.Fatalf("%s: %v, %v", c.Version, left, err)
		}
		got := files(t, dir)
		// In a folder as it is the index counts, to which the newer one was not added.
		if !strings.HasSuffix(got["third/lib/lib.go"], " pinned") || !strings.HasSuffix(got["third/lib/in/deep"], " 1") {
			t.Errorf("%s: %q", c.Version, got)
		}
	}
	var pack bytes.Buffer
	c := r.resolve("HEAD~0")
	if err := r.open().Pack(t.Context(), c, &pack); err != nil {
		t.Fatal(err)
	}
	out, err := source.Unpack(t.Context(), &pack, c.Hash, filepath.Join(t.TempDir(), "unpacked"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "out")
	if left, err := out.Checkout(t.Context(), c, dir); err != nil || len(left) != 0 || !strings.HasSuffix(files(t, dir)["third/lib/in/deep"], " 1") {
		t.Errorf("from the pack: %v, %v, %q", left, err, files(t, dir))
	}
	// A clone without its submodules.
	bare := repo{t, filepath.Join(t.TempDir(), "bare")}
	r.git("clone", "-q", "--bare", r.dir, bare.dir)
	if left, err := bare.open().Checkout(t.Context(), c, t.TempDir()); err != nil || len(left) != 1 || left[0].Path != "third/lib" {
		t.Errorf("a clone: %v, %v", left, err)
	}
}

// A commit that pins itself into every branch of a tree of submodules ends.
func TestManySubmodules(t *testing.T) {
	r := newRepo(t)
	last := r.commit(map[string]string{"a": "1"})
	for range 12 {
		for i := range 8 {
			r.git("update-index", "--add", "--cacheinfo", "160000,"+last+","+string(rune('b'+i)))
		}
		r.git("commit", "-q", "-m", "more")
		last = r.git("rev-parse", "HEAD")
	}
	if _, err := r.open().Checkout(t.Context(), r.resolve(last), t.TempDir()); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "submodules") {
		t.Error(err)
	}
}

// A few objects of git can be files without end: they are refused before one is written.
func TestAFewObjectsThatAreManyBytes(t *testing.T) {
	r := newRepo(t)
	r.commit(map[string]string{"z": strings.Repeat("\x00", 32<<20)})
	kind, hash := "100644 blob", r.git("rev-parse", "HEAD:z")
	for _, width := range []int{40, 50, 50} { // 3 TB
		kind, hash = "040000 tree", r.tree(kind, hash, width)
	}
	c := r.resolve(r.git("commit-tree", "-m", "many bytes", hash))
	dir := t.TempDir()
	if _, err := r.open().Checkout(t.Context(), c, dir); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "half of what is free") || errs.HintOf(err) == "" {
		t.Error(err)
	}
	if got := files(t, dir); len(got) > 0 {
		t.Errorf("%d files were written", len(got))
	}
}

// A name is bytes: git and Linux take any, and so does a checkout.
func TestANameThatIsNotUTF8(t *testing.T) {
	r := newRepo(t)
	name, folder := "caf\xe9.txt", "d\xff/x"
	r.commit(map[string]string{"a": "1", name: "2", folder: "3"})
	for _, c := range []source.Commit{r.resolve("HEAD~0"), r.dirty()} {
		got := r.checkout(c)
		if got[name] != "100644 2" && !strings.HasSuffix(got[name], " 2") || !strings.HasSuffix(got[folder], " 3") {
			t.Errorf("%q", got)
		}
	}
	if b, err := r.open().ReadFile(t.Context(), r.resolve(""), name); err != nil || string(b) != "2" {
		t.Errorf("%q, %v", b, err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := r.resolve(""); !cmp.Equal(c.Modified, []string{name}) {
		t.Errorf("%q", c.Modified)
	}
}

// TestCraftedTree holds trees that git itself would not make.
func TestCraftedTree(t *testing.T) {
	r := newRepo(t)
	r.commit(map[string]string{"a": "/tmp", "b": "x"})
	link, blob := r.git("rev-parse", "HEAD:a"), r.git("rev-parse", "HEAD:b")
	for name, lines := range map[string]string{
		"dot-dot":          "100644 blob " + blob + "\t../evil\n",
		"git folder":       "100644 blob " + blob + "\t.git\n",
		"file twice":       "100644 blob " + blob + "\tf\n100644 blob " + blob + "\tf\n",
		"through its link": "120000 blob " + link + "\td\n040000 tree " + r.git("rev-parse", "HEAD^{tree}") + "\td\n",
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
			cmd.Dir = r.dir
			cmd.Stdin = strings.NewReader(rawTree(t, lines))
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			hash := r.git("commit-tree", "-m", "crafted", strings.TrimSpace(string(out)))
			dir := filepath.Join(t.TempDir(), "in")
			c := r.resolve(hash)
			if _, err := r.open().Checkout(t.Context(), c, dir); err == nil && name != "through its link" {
				t.Errorf("checked out: %v", files(t, dir))
			}
			if got := files(t, filepath.Dir(dir)); len(got) > 2 || got["evil"] != "" {
				t.Errorf("outside: %v", got)
			}
		})
	}
}

func rawTree(t *testing.T, lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		meta, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		f := strings.Fields(meta)
		b.WriteString(strings.TrimPrefix(f[0], "0") + " " + name + "\x00")
		for i := 0; i < len(f[2]); i += 2 {
			var c byte
			for _, d := range f[2][i : i+2] {
				c = c<<4 | byte(strings.IndexRune("0123456789abcdef", d))
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}

func TestReadFile(t *testing.T) {
	r := newRepo(t)
	r.commit(map[string]string{"go.mod": "module a\n", "sub/x": "y", "big": strings.Repeat("x", source.MaxFile+1)})
	c := r.resolve("")
	o := r.open()
	if b, err := o.ReadFile(t.Context(), c, "sub/x"); err != nil || string(b) != "y" {
		t.Errorf("got %q, %v", b, err)
	}
	for _, name := range []string{"none", "sub", "sub/x/y"} {
		if _, err := o.ReadFile(t.Context(), c, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want ErrNotExist", name, err)
		}
	}
	for _, name := range []string{"../x", "/etc/passwd", "", "a\nb", "big"} {
		if _, err := o.ReadFile(t.Context(), c, name); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v, want Invalid", name, err)
		}
	}
}

func TestDirty(t *testing.T) {
	make2 := func() repo {
		r := newRepo(t)
		r.commit(map[string]string{"a": "1", "gone": "x", ".gitignore": "*.log\n"})
		if err := os.Remove(filepath.Join(r.dir, "gone")); err != nil {
			t.Fatal(err)
		}
		r.write("a", "2")
		r.write("new/b", "3")
		r.write("x.log", "ignored")
		r.write("a-live.volume", "sealed")
		r.write("a-live.volume.001", "sealed")
		return r
	}
	r := make2()
	c, err := r.open().Dirty(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !c.Dirty || !c.Working() || !strings.HasPrefix(c.Version, r.resolve("").Version+"-dirty.") {
		t.Errorf("got %+v", c)
	}
	want := map[string]string{".gitignore": "-rw-r--r-- *.log\n", "a": "-rw-r--r-- 2", "new/b": "-rw-r--r-- 3", "x.log": "-rw-r--r-- ignored"}
	if want := "a gone new/b x.log"; strings.Join(c.Changed, " ") != want {
		t.Errorf("changed: %q, want %s", c.Changed, want)
	}
	if diff := cmp.Diff(want, r.checkout(c)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if b, err := r.open().ReadFile(t.Context(), c, "a"); err != nil || string(b) != "2" {
		t.Errorf("ReadFile: %q, %v", b, err)
	}
	if again, err := make2().open().Dirty(t.Context()); err != nil || again.Version != c.Version || again.Tree != c.Tree {
		t.Errorf("in another folder: %s, %v; want %s", again.Version, err, c.Version)
	}
	r.write("a", "4")
	if _, err := r.open().Checkout(t.Context(), c, t.TempDir()); errs.KindOf(err) != errs.Conflict {
		t.Errorf("checkout after another change: %v, want Conflict", err)
	}
	r.git("checkout", "-q", "--", ".")
	r.git("clean", "-fdqx")
	r.write("a.volume", "sealed where the commit is")
	if c := r.resolve(""); c.Dirty {
		t.Errorf("a volume in the folder: %+v", c)
	}
	if c, err := r.open().Dirty(t.Context()); err != nil || c.Working() || c.Dirty {
		t.Errorf("clean: %+v, %v", c, err)
	}
	r.write("gen.log", "all that differs is ignored")
	if c, err := r.open().Dirty(t.Context()); err != nil || !c.Working() || !c.Dirty || strings.Join(c.Changed, " ") != "gen.log" {
		t.Errorf("with a generated file: %+v, %v", c, err)
	}
}

// TestNothingInARepositoryIsRun puts a program behind every setting that would run one.
func TestNothingInARepositoryIsRun(t *testing.T) {
	r := newRepo(t)
	mark := filepath.Join(t.TempDir(), "ran")
	evil := filepath.Join(t.TempDir(), "evil")
	if err := os.WriteFile(evil, []byte("#!/bin/sh\necho \"$0 $*\" >> "+mark+"\ncat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.commit(map[string]string{"a": "1", ".gitattributes": "* filter=evil diff=evil merge=evil\n", "b": "2"})
	hash := r.git("rev-parse", "HEAD")
	for _, hook := range []string{"post-checkout", "post-index-change", "pre-commit", "fsmonitor-watchman", "reference-transaction"} {
		if err := os.WriteFile(filepath.Join(r.dir, ".git", "hooks", hook), []byte("#!/bin/sh\ntouch "+mark+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{
		"core.fsmonitor", "core.pager", "pager.status", "pager.config", "core.editor", "core.sshCommand", "gpg.program",
		"filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "filter.e=v.clean", "diff.external",
		"diff.evil.textconv", "diff.evil.command", "core.alternateRefsCommand", "credential.helper",
	} {
		r.git("config", key, evil)
	}
	r.git("config", "alias.cat-file", "!"+evil)
	r.git("config", "filter.evil.required", "true")
	r.git("config", "log.showSignature", "true")
	r.git("config", "remote.origin.url", "ext::"+evil)
	r.git("config", "remote.origin.promisor", "true")
	r.git("config", "remote.origin.partialclonefilter", "blob:none")
	r.git("config", "extensions.partialClone", "origin")
	r.git("config", "core.repositoryformatversion", "1")
	r.write("a", "changed")
	r.write(".gitattributes", "* filter=evil diff=evil\nb filter=e=v\n")
	os.Remove(mark)

	o := r.open()
	c := r.resolve("")
	if c.Hash != hash || !c.Dirty {
		t.Errorf("got %+v", c)
	}
	if got := r.checkout(c); got["a"] != "-rw-r--r-- 1" {
		t.Errorf("checkout %v", got)
	}
	if _, err := o.ReadFile(t.Context(), c, "a"); err != nil {
		t.Error(err)
	}
	d, err := o.Dirty(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.checkout(d)
	blob := filepath.Join(r.dir, ".git", "objects", r.git("rev-parse", "HEAD:b")[:2], r.git("rev-parse", "HEAD:b")[2:])
	if err := os.Remove(blob); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Checkout(t.Context(), c, t.TempDir()); errs.KindOf(err) != errs.Invalid || !strings.Contains(errs.HintOf(err), "--filter") {
		t.Errorf("checkout of a partial clone: %v", err)
	}
	if b, err := os.ReadFile(mark); err == nil {
		t.Errorf("it ran a program of the repository:\n%s", b)
	}
}

func TestReplaceRefsAndForeignOwner(t *testing.T) {
	r := newRepo(t)
	first := r.commit(map[string]string{"a": "1"})
	second := r.commit(map[string]string{"a": "2"})
	r.git("replace", second, first)
	if os.Getuid() == 0 {
		if err := exec.Command("chown", "-R", "65534", r.dir).Run(); err != nil {
			t.Fatal(err)
		}
	}
	c := (repo{t, r.dir}).resolve("main")
	if c.Count != 2 || (repo{t, r.dir}).checkout(c)["a"] != "-rw-r--r-- 2" {
		t.Errorf("got %+v", c)
	}
}

// describe gives HEAD of r its tag.
func (r repo) describe() (source.Commit, error) {
	return r.open().Describe(r.t.Context(), r.resolve("HEAD"))
}

func TestDescribe(t *testing.T) {
	r := newRepo(t)
	r.commit(map[string]string{"a": "1"})
	_, err := r.describe()
	if errs.KindOf(err) != errs.NotFound || !strings.Contains(errs.HintOf(err), "git fetch --tags") {
		t.Errorf("without a tag: %v, hint %q", err, errs.HintOf(err))
	}
	r.git("tag", "v0.9")
	if _, err = r.describe(); errs.KindOf(err) != errs.NotFound || !strings.Contains(errs.HintOf(err), "git tag -a -f v0.9") {
		t.Errorf("with a lightweight tag: %v, hint %q", err, errs.HintOf(err))
	}
	r.git("tag", "-a", "v1.0.0", "-m", "one")
	r.git("config", "core.abbrev", "4") // the machine's taste decides nothing
	if c, err := r.describe(); err != nil || c.Tagged().Version != "v1.0.0" || c.Tag.Hash != r.git("rev-parse", "v1.0.0") || !strings.HasPrefix(c.Version, "r1.") {
		t.Errorf("on the tag: %+v, %v", c, err)
	}
	r.commit(map[string]string{"b": "2"})
	r.git("tag", "v1.1.0") // lightweight
	second := r.commit(map[string]string{"c": "3"})
	if c, err := r.describe(); err != nil || c.Tagged().Version != "v1.0.0-2-g"+second[:12] || c.Tag.Name != "v1.0.0" || c.Tag.Since != 2 {
		t.Errorf("after the tag: %+v, %v", c, err)
	}
	dirty := r.dirty()
	c, err := r.open().Describe(t.Context(), dirty)
	if want := "v1.0.0-2-g" + second[:12] + strings.TrimPrefix(dirty.Version, "r3."+second[:12]); err != nil || c.Tagged().Version != want || !strings.Contains(want, "-dirty.") {
		t.Errorf("a folder as it is: %s, %v; want %s", c.Tagged().Version, err, want)
	}
	for name, says := range map[string]string{"cmd/V2": "no version", "v2+x": "no version"} {
		r.git("tag", "-a", name, "-m", "x")
		if _, err := r.describe(); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("tag %s: %v", name, err)
		}
		r.git("tag", "-d", name)
	}
	r.git("tag", "-a", "v3", "-m", "of a tag", "v1.0.0")
	r.git("tag", "-d", "v1.0.0")
	if _, err := r.describe(); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a tag of a tag: %v", err)
	}
}
