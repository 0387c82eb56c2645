package lockfile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/lockfile"
)

// Each thing that a line may hold, at its edge.
func TestWhatALineMayHold(t *testing.T) {
	fine := lockfile.Entry{Protocol: "go", Key: "k", Status: 200, Blob: digest.Of([]byte("x")), Size: 1}
	long := func(n int) lockfile.Fields { return lockfile.Fields("a: " + strings.Repeat("x", n-3)) }
	for name, test := range map[string]struct {
		change func(e *lockfile.Entry)
		fine   bool
	}{
		"as it is":             {func(*lockfile.Entry) {}, true},
		"the longest key":      {func(e *lockfile.Entry) { e.Key = strings.Repeat("k", lockfile.KeyLimit) }, true},
		"a longer key":         {func(e *lockfile.Entry) { e.Key = strings.Repeat("k", lockfile.KeyLimit+1) }, false},
		"a key with DEL":       {func(e *lockfile.Entry) { e.Key = "a\x7f" }, false},
		"the last status":      {func(e *lockfile.Entry) { e.Status = 599 }, true},
		"another status":       {func(e *lockfile.Entry) { e.Status = 600 }, false},
		"forbidden":            {func(e *lockfile.Entry) { e.Status, e.Blob, e.Size = 403, "", 0 }, true},
		"unauthorized":         {func(e *lockfile.Entry) { e.Status, e.Blob, e.Size = 401, "", 0 }, false},
		"the longest header":   {func(e *lockfile.Entry) { e.Header = long(lockfile.FieldsLimit) }, true},
		"a longer header":      {func(e *lockfile.Entry) { e.Header = long(lockfile.FieldsLimit + 1) }, false},
		"a control character":  {func(e *lockfile.Entry) { e.Header = "a: b\rc" }, false},
		"a blank at the end":   {func(e *lockfile.Entry) { e.Asked = "a: b " }, false},
		"a capital":            {func(e *lockfile.Entry) { e.Asked = "Accept: b" }, false},
		"a secret":             {func(e *lockfile.Entry) { e.Header = "set-cookie: a=b" }, false},
		"a mark":               {func(e *lockfile.Entry) { e.Header = "set-cookie: a=xxxxx-1; path=/" }, true},
		"half a mark":          {func(e *lockfile.Entry) { e.Header = "set-cookie: a=xxxxx-" }, false},
		"a secret in a link":   {func(e *lockfile.Entry) { e.Header = "location: /x?token=abcdef" }, false},
		"a secret in another":  {func(e *lockfile.Entry) { e.Header = "content-location: /x?token=abcdef" }, false},
		"a link":               {func(e *lockfile.Entry) { e.Header = "location: /x?page=2" }, true},
		"a secret in the name": {func(e *lockfile.Entry) { e.Key = "https://h/x?token=abcdef" }, false},
	} {
		e := fine
		test.change(&e)
		var b bytes.Buffer
		err := lockfile.New([]lockfile.Entry{e}).Write(&b)
		if (err == nil) != test.fine {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		if l, err := lockfile.Parse(&b, 0); err != nil || len(l.Entries) != 1 || l.Entries[0] != e {
			t.Errorf("%s: it does not come back: %v", name, err)
		}
	}
	for status, want := range map[int]bool{399: false, 400: true, 500: true} {
		if got := (lockfile.Entry{Status: status}).Failed(); got != want {
			t.Errorf("%d: failed %v", status, got)
		}
	}
}

// Fields of one name keep their order, and what they were made of is left as it was.
func TestFieldsKeepTheirOrder(t *testing.T) {
	lines := []string{"b: 2", "a: 2", "a: 1"}
	if got := lockfile.NewFields(lines); got != "a: 2\na: 1\nb: 2" || !slices.Equal(lines, []string{"b: 2", "a: 2", "a: 1"}) {
		t.Errorf("%q of %q", got, lines)
	}
}

// A line is for people: nothing in it is escaped that need not be. What cannot be written leaves nothing.
func TestALockAsItIsWritten(t *testing.T) {
	e := lockfile.Entry{Protocol: "go", Key: "a&<b>", Status: 404}
	var b bytes.Buffer
	if err := lockfile.New([]lockfile.Entry{e}).Write(&b); err != nil || !strings.Contains(b.String(), `"a&<b>"`) {
		t.Errorf("%v: %s", err, &b)
	}
	dir := t.TempDir()
	e.Status = 600
	if err := lockfile.New([]lockfile.Entry{e}).Save(filepath.Join(dir, "overland.lock")); err == nil {
		t.Error("it was written")
	}
	if list, _ := os.ReadDir(dir); len(list) != 0 {
		t.Errorf("%v", list)
	}
}
