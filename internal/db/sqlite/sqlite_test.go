package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"overland/internal/db"
	"overland/internal/db/dbtest"
	"overland/internal/db/sqlite"
	"overland/internal/errs"
)

func TestQueries(t *testing.T) {
	paths := map[*testing.T]string{}
	dbtest.Run(t, func(t *testing.T) *db.DB {
		if paths[t] == "" {
			paths[t] = filepath.Join(t.TempDir(), "a b?#.db") // what a URL would read otherwise
		}
		return open(t, paths[t])
	})
}

func open(t *testing.T, path string) *db.DB {
	t.Helper()
	d, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// script changes the database behind the program's back.
func script(t *testing.T, path, text string) {
	t.Helper()
	d, err := sql.Open("sqlite", "file:"+path)
	if err == nil {
		_, err = d.ExecContext(t.Context(), text)
	}
	if err == nil {
		err = d.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestOnlyItsOwnerReadsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	d := open(t, path)
	defer d.Close()
	if err := d.SetOffline(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + end)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", end, info.Mode(), err)
		}
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	script(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
	_, err := sqlite.Open(t.Context(), path)
	if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "schema 99") || !strings.Contains(errs.HintOf(err), "newer overland") {
		t.Errorf("got %v, hint %q", err, errs.HintOf(err))
	}
}

// older makes the database at path one of schema 1, with a freeze in it.
func older(t *testing.T, path string) {
	t.Helper()
	d := open(t, path)
	err := d.AddFreeze(t.Context(), db.Freeze{Name: "tuesday", At: time.UnixMilli(1), Made: time.UnixMilli(1)})
	if err == nil {
		err = d.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	script(t, path, "DROP TABLE account; DROP TABLE registry_tag; DROP TABLE registry_child; DROP TABLE registry_manifest;"+
		"DROP TABLE registry_blob; DROP TABLE registry_alias; DROP TABLE registry_upload; DROP TABLE registry_came;"+
		"DROP TABLE netcache_account; DROP TABLE netcache_revoked; DROP TABLE netcache_audit;"+
		"DELETE FROM goose_db_version WHERE version_id > 1")
}

func TestAnOlderSchemaIsCopiedAndMended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	older(t, path)
	var all sync.WaitGroup
	for range 4 { // the operator's verbs and a site that starts, at once
		all.Go(func() {
			d, err := sqlite.Open(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			if list, err := d.Freezes(t.Context()); err != nil || len(list) != 1 {
				t.Errorf("freezes: %v, %v", list, err)
			}
			if _, err := d.Accounts(t.Context()); err != nil {
				t.Error(err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	// The copy is whole, of the schema before, and for its owner alone.
	backup := path + ".schema-1"
	info, err := os.Stat(backup)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	script(t, backup, "UPDATE freeze SET at = 2 WHERE name = 'tuesday'; CREATE TABLE netcache_account (no)")
}

// What the new schema cannot be made of stays as it was.
func TestAMigrationThatFailsChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	older(t, path)
	script(t, path, "CREATE TABLE netcache_audit (in_the_way)") // the last statement of step 2 fails
	if _, err := sqlite.Open(t.Context(), path); err == nil {
		t.Fatal("no error")
	}
	script(t, path, "DROP TABLE netcache_audit; CREATE TABLE netcache_account (not_left_behind); DROP TABLE netcache_account")
	d := open(t, path)
	defer d.Close()
	if list, err := d.Freezes(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("freezes: %v, %v", list, err)
	}
}

func TestADamagedFileSaysWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path); err == nil || errs.HintOf(err) == "" {
		t.Errorf("got %v, hint %q", err, errs.HintOf(err))
	}
}
