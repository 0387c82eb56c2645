package site

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/errs"
	"overland/internal/home"
	"overland/internal/netcache/server"
)

// The log of before there was a database is taken over, once, and nothing of it is lost.
func TestAnAuditLogIsTakenOver(t *testing.T) {
	dir := newSite(t)
	if _, err := Audit(t.Context(), dir, 1); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("a site without one: %v", err)
	}
	folder := home.Netcache.In(dir)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	line := func(second, result string) string {
		return `{"time":"2026-01-01T00:00:` + second + `.5Z","action":"blob","result":"` + result + `","account":"alice","remote":"r","sha512":"ab","size":3}` + "\n"
	}
	files := map[string]string{
		"audit.log.2": line("01", "one"), "audit.log.1": line("02", "two") + line("03", "three"), "audit.log": line("04", "four") + `{"torn`,
	}
	for range 2 { // the second time as after a kill before the files were removed
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		known, err := openFacts(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := importAudit(t.Context(), folder, known, slog.New(slog.DiscardHandler)); err != nil {
			t.Error(err)
		}
		if err := known.Close(); err != nil {
			t.Fatal(err)
		}
		var got []string
		list, err := Audit(t.Context(), dir, 9)
		for _, e := range list {
			got = append(got, e.Result)
		}
		if err != nil || strings.Join(got, " ") != "four three two one" {
			t.Errorf("got %q, %v", got, err)
		}
		if e := list[0]; e.Account != "alice" || e.SHA512 != "ab" || e.Size != 3 || e.Time.Format("15:04:05.0") != "00:00:04.5" {
			t.Errorf("got %+v", e)
		}
		left, err := filepath.Glob(filepath.Join(folder, "audit.log*"))
		if err != nil || len(left) != 1 || filepath.Base(left[0]) != "audit.log.damaged" {
			t.Errorf("left %q, %v", left, err)
		}
	}
}

// A writer that is refused a million times does not fill the disk with the log of it.
func TestOneWriterDoesNotFillTheAuditLog(t *testing.T) {
	known, err := openFacts(t.Context(), newSite(t))
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	log := &trail{known: known, keep: 10, every: 5}
	for range 103 {
		if err := log.note(server.Event{Time: time.Now(), Action: "blob", Result: "refused"}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := known.Events(t.Context(), 1000)
	if err != nil || len(list) != 13 {
		t.Errorf("%d events, %v", len(list), err)
	}
}
