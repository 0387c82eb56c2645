package server

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// The log of writes is bounded: what is oldest goes.
func TestTheAuditLogIsBounded(t *testing.T) {
	s := NewShelf(t)
	a := audit{shelf: s}
	path := filepath.Join(s.dir, auditFile)
	for n := range auditOld + 3 {
		if err := os.WriteFile(path, bytes.Repeat([]byte(strconv.Itoa(n%10)), auditLimit), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := a.note(Event{Action: "blob"}); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(path + ".[0-9]")
	if err != nil || len(files) != auditOld {
		t.Errorf("%d old files, %v", len(files), err)
	}
	for n := range 2 {
		b, err := os.ReadFile(path + "." + strconv.Itoa(n+1))
		if want := strconv.Itoa((auditOld + 2 - n) % 10); err != nil || string(b[:1]) != want {
			t.Errorf("file %d is not the one before: %v", n+1, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 1000 {
		t.Errorf("%v, %v", info, err)
	}
}
