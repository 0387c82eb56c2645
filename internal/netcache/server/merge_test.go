package server

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"overland/internal/netcache"
)

func at(note, upstream string, second int64) Record {
	r := RecordOf("k", note)
	r.Upstream, r.Time = upstream, time.Unix(second, 0)
	return r
}

func TestMergedIsInOrder(t *testing.T) {
	list := []Record{at("e", "", 50), at("c", "u", 30), at("a", "", 10)}
	theirs := []Record{at("f", "u", 60), at("d2", "u", 40), at("d1", "u", 40), at("c", "u", 30), at("c3", "u", 30), at("f", "u", 60), at("z", "u", 1)}
	var notes []string
	for _, r := range merged(slices.Clone(list), theirs) {
		e, err := netcache.NewEntry(r.Metadata, r.Signature)
		if err != nil {
			t.Fatal(err)
		}
		notes = append(notes, e.Text("note"))
	}
	if got := strings.Join(notes, " "); got != "f e d2 d1 c3 c a z" {
		t.Errorf("got %s", got)
	}
}

// An upstream's list may be as long as a list can be, and so may the one that is here: they are
// merged in a moment, and what was put here stays.
func TestALongListIsMerged(t *testing.T) {
	s := NewShelf(t)
	long := func(upstream string, from int) (list []Record) {
		pad := strings.Repeat("x", 500)
		for i := range listLimit / 800 {
			list = append(list, at(fmt.Sprintf("%s %d %s", upstream, i, pad), upstream, int64(from-i)))
		}
		return list
	}
	mine := append(long("", 1<<20), at("the oldest", "", 1))
	whole, err := lines(mine)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.fs.Mkdir(filepath.Dir(s.listPath("k")), dirMode); err != nil {
		t.Fatal(err)
	}
	if err := s.fs.WriteFile(s.listPath("k"), whole, fileMode); err != nil {
		t.Fatal(err)
	}
	what, err := s.merge(t.Context(), "k", long("u", 1<<20), false)
	if err != nil || what != updated {
		t.Fatalf("%v, %v", what, err)
	}
	list, b, err := s.read("k")
	if err != nil || len(b) > listLimit || !list[len(list)-1].same(mine[len(mine)-1]) {
		t.Fatalf("%d records, %d bytes, %v", len(list), len(b), err)
	}
	own := slices.DeleteFunc(slices.Clone(list), func(r Record) bool { return r.Upstream != "" })
	if len(own) != len(mine) || len(own) == len(list) {
		t.Errorf("%d of %d own records, %d in all", len(own), len(mine), len(list))
	}
}
