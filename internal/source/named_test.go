package source_test

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/errs"
	"overland/internal/source"
)

// lie makes git find content under the name of the object hash.
func (r repo) lie(hash, kind, content string) {
	r.t.Helper()
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	fmt.Fprintf(z, "%s %d\x00%s", kind, len(content), content)
	if err := z.Close(); err != nil {
		r.t.Fatal(err)
	}
	path := filepath.Join(r.dir, ".git", "objects", hash[:2], hash[2:])
	_ = os.Remove(path) // git made it read-only, if it is there
	r.write(filepath.Join(".git", "objects", hash[:2], hash[2:]), b.String())
}

// object makes an object that git would not make, and returns its name.
func (r repo) object(kind, content string) string {
	r.t.Helper()
	hash := fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", kind, len(content), content)))
	r.lie(hash, kind, content)
	return hash
}

// git believes what the folder of a repository says that an object is. A folder is somebody else's: what has the
// name of a commit that is known elsewhere, and other content, is not that commit.
func TestAnObjectIsWhatItsNameSays(t *testing.T) {
	for what, lie := range map[string]func(r repo){
		"a file": func(r repo) { r.lie(r.git("rev-parse", "HEAD:sub/f"), "blob", "evil") },
		"a folder": func(r repo) {
			evil := r.object("blob", "evil")
			r.lie(r.git("rev-parse", "HEAD:sub"), "tree", rawTree(r.t, "100644 blob "+evil+"\tf\n"))
		},
		"the top": func(r repo) {
			evil := r.object("blob", "evil")
			r.lie(r.git("rev-parse", "HEAD^{tree}"), "tree", rawTree(r.t, "100644 blob "+evil+"\tg\n"))
		},
		"the commit": func(r repo) {
			empty := r.object("tree", "")
			r.lie(r.git("rev-parse", "HEAD"), "commit", "tree "+empty+"\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx\n")
		},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRepo(t)
			r.commit(map[string]string{"sub/f": "good", "g": "fine"})
			o, hash := r.open(), r.git("rev-parse", "HEAD")
			lie(r)
			c, err := o.Resolve(t.Context(), hash)
			if err == nil {
				_, err = o.Checkout(t.Context(), c, t.TempDir())
			}
			if errs.KindOf(err) != errs.Untrusted && c.Hash != "" || err == nil || errs.HintOf(err) == "" { // git itself finds no such commit
				t.Errorf("checked out: %v", err)
			}
			var f, g error
			if c.Hash != "" {
				_, f = o.ReadFile(t.Context(), c, "sub/f")
				_, g = o.ReadRegular(t.Context(), c, "g", source.MaxFile)
				if err := o.Pack(t.Context(), c, new(bytes.Buffer)); errs.KindOf(err) != errs.Untrusted {
					t.Errorf("packed: %v", err)
				}
			}
			if c.Hash != "" && errs.KindOf(f) != errs.Untrusted {
				t.Errorf("read: %v", f)
			}
			if lies := what == "the top"; lies != (errs.KindOf(g) == errs.Untrusted) {
				t.Errorf("read what does not lie in it: %v", g)
			}
		})
	}
}

// The history is somebody else's too, once it is packed with a release.
func TestTheHistoryIsWhatItsNamesSay(t *testing.T) {
	r := newRepo(t)
	r.commit(map[string]string{"a": "1"})
	first := r.git("rev-parse", "HEAD")
	r.commit(map[string]string{"a": "2"})
	r.lie(first, "commit", "tree "+r.git("rev-parse", "HEAD^{tree}")+"\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nanother\n")
	if err := r.open().Pack(t.Context(), r.resolve("HEAD"), new(bytes.Buffer)); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("packed: %v", err)
	}
}

// Folders in one another without end are a few kilobytes, and each costs as many steps as it is deep.
func TestATreeWithoutABottom(t *testing.T) {
	r := newRepo(t)
	r.commit(map[string]string{"f": "x"})
	tree := r.git("rev-parse", "HEAD^{tree}")
	for i := range 300 {
		tree = r.object("tree", rawTree(t, "40000 tree "+tree+"\td\n"))
		if i != 100 && i != 299 {
			continue
		}
		c := r.resolve(r.git("commit-tree", "-m", "x", tree))
		if _, err := r.open().Checkout(t.Context(), c, t.TempDir()); (err == nil) != (i == 100) || err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("%d deep: %v", i+1, err)
		}
	}
}

// No format has a word for a time after the year 9999.
func TestACommitOfNoTime(t *testing.T) {
	r := newRepo(t)
	r.commit(map[string]string{"f": "x"})
	tree := r.git("rev-parse", "HEAD^{tree}")
	for when, fine := range map[int64]bool{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix(): true, 253402300800: false, -62167219201: false, 1 << 62: false} {
		hash := r.object("commit", fmt.Sprintf("tree %s\nauthor a <a> 0 +0000\ncommitter a <a> %d +0000\n\nx\n", tree, when))
		if _, err := r.open().Resolve(t.Context(), hash); (err == nil) != fine || err != nil && !strings.Contains(err.Error(), "time") {
			t.Errorf("%d: %v", when, err)
		}
	}
}
