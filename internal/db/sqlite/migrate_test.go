package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"overland/internal/db"
	"overland/internal/db/sqlite"
)

// A copy that was cut off is in nobody's way: the next one is whole.
func TestABackupThatWasCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	older(t, path)
	if err := os.WriteFile(path+".schema-1.tmp", []byte("half of a copy"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	script(t, path+".schema-1", "UPDATE freeze SET at = 2 WHERE name = 'tuesday'")
	if _, err := os.Stat(path + ".schema-1.tmp"); err == nil {
		t.Error("half a copy is still there")
	}
}

// Another process changed the schema while this one waited for the lock: there is
// nothing left to copy or to change.
func TestTheSchemaWasChangedMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	older(t, path)
	pool, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := db.New(t.Context(), db.Config{
		Dialect: db.SQLite, Write: pool, Read: pool,
		Lock: func(ctx context.Context) (func() error, error) {
			other, err := sqlite.Open(ctx, path)
			if err != nil {
				return nil, err
			}
			return func() error { return nil }, other.Close()
		},
		Backup: func(_ context.Context, version int64) error {
			t.Errorf("schema %d is copied", version)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
