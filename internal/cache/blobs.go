package cache

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"overland/internal/digest"
)

// Blobs calls visit for each blob that the cache in dir holds, also while a site uses it. A cache
// that was never opened holds none.
func Blobs(ctx context.Context, dir string, visit func(digest.Digest)) (err error) {
	path := filepath.Join(dir, IndexFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(30000)&_pragma=query_only(1)")
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, "SELECT DISTINCT blob FROM version WHERE held = 1")
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	defer rows.Close()
	for rows.Next() {
		var d digest.Digest
		if err := rows.Scan(&d); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		visit(d)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
