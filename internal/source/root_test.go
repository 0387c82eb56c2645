package source_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/source"
)

func (r repo) root(rev string) string {
	r.t.Helper()
	root, err := r.open().Root(r.t.Context(), r.resolve(rev))
	if err != nil {
		r.t.Fatal(err)
	}
	return root
}

func TestRootIsTheFirstCommit(t *testing.T) {
	r := newRepo(t)
	first := r.commit(map[string]string{"a": "1"})
	if got := r.root(""); got != first {
		t.Errorf("a history of one commit: got root %s, want %s", got, first)
	}
	r.commit(map[string]string{"a": "2"})
	if got := r.root("main"); got != first {
		t.Errorf("got root %s, want %s", got, first)
	}
	r.write("a", "3")
	c, err := r.open().Dirty(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.open().Root(t.Context(), c); err != nil || got != first {
		t.Errorf("of a folder as it is: got root %s, %v, want %s", got, err, first)
	}
}

// Another project's history, merged into this one, does not change whose repository it is; seen
// from the other project's side it is that one's.
func TestRootOfMergedHistories(t *testing.T) {
	r := newRepo(t)
	ours := r.commit(map[string]string{"a": "1"})
	r.git("checkout", "-q", "--orphan", "other")
	theirs := r.commit(map[string]string{"b": "1"})
	r.git("checkout", "-q", "main")
	r.git("merge", "-q", "--allow-unrelated-histories", "-m", "both", "other")
	if got := r.root("main"); got != ours {
		t.Errorf("merged: got root %s, want %s", got, ours)
	}
	r.git("checkout", "-q", "other")
	r.git("merge", "-q", "--no-ff", "--allow-unrelated-histories", "-m", "both", ours)
	if got := r.root("other"); got != theirs {
		t.Errorf("the other side: got root %s, want %s", got, theirs)
	}
}

// What lies in a repository's folder beside the commits has no say about who is whose parent.
func TestS3RootIsThatOfTheCommits(t *testing.T) {
	graft := func(r repo, child, parent string) {
		r.write(".git/info/grafts", child+" "+parent+"\n")
	}
	replace := func(r repo, child, parent string) { r.git("replace", "--graft", child, parent) }
	for name, lie := range map[string]func(r repo, child, parent string){
		"grafts": graft, "replace": replace, "commit-graph": lyingGraph,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			first := r.commit(map[string]string{"a": "1"})
			second := r.commit(map[string]string{"a": "2"})
			r.git("checkout", "-q", "--orphan", "other")
			other := r.commit(map[string]string{"b": "1"})
			r.git("checkout", "-q", "main")
			lie(r, second, other)
			if got := r.root("main"); got != first {
				t.Errorf("got root %s, want %s", got, first)
			}
		})
	}
	t.Run("shallow", func(t *testing.T) {
		r := newRepo(t)
		r.commit(map[string]string{"a": "1"})
		second := r.commit(map[string]string{"a": "2"})
		r.write(".git/shallow", second+"\n")
		repo, err := source.Open(t.Context(), r.dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := repo.Resolve(t.Context(), ""); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "shallow") {
			t.Errorf("a shallow clone, whose first commit is another one: got error %v", err)
		}
	})
}

// lyingGraph writes a commit-graph (gitformat-commit-graph) in which child has the parent parent.
func lyingGraph(r repo, child, parent string) {
	r.git("commit-graph", "write", "--reachable")
	path := filepath.Join(r.dir, ".git/objects/info/commit-graph")
	b, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	chunk := func(id string) int { // where the table of chunks says that chunk id begins
		at := bytes.Index(b, []byte(id))
		return int(binary.BigEndian.Uint64(b[at+4:]))
	}
	const hash, row = 20, 20 + 16
	position := func(commit string) int {
		raw, err := hex.DecodeString(commit)
		if err != nil {
			r.t.Fatal(err)
		}
		return bytes.Index(b[chunk("OIDL"):], raw) / hash
	}
	binary.BigEndian.PutUint32(b[chunk("CDAT")+position(child)*row+hash:], uint32(position(parent)))
	if err := os.Chmod(path, 0o644); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		r.t.Fatal(err)
	}
}
