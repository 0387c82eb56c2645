package site

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"overland/internal/db"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/netcache/server"
)

const (
	auditEvents = 500_000 // that stay: about 150 MB
	auditTrim   = 10_000  // events after which the log is shortened
	auditLine   = 1 << 20 // bytes
	auditFiles  = 8       // audit.log.1 to audit.log.8, the oldest, of before the site had a database
)

// AuditEvent is a write to a site's network cache that was tried.
type AuditEvent struct {
	Time    time.Time `json:"time"`
	Action  string    `json:"action"` // blob, entry, update
	Result  string    `json:"result"` // stored, or why it was refused
	Account string    `json:"account"`
	Remote  string    `json:"remote"`
	Key     string    `json:"key,omitempty"`
	SHA512  string    `json:"sha512,omitempty"`
	Size    int64     `json:"size,omitempty"` // bytes
	Signer  string    `json:"signer,omitempty"`
}

// Audit returns the newest events of the audit log of the site in dir, at most limit, the newest
// first. A site without a database is errs.NotFound.
func Audit(ctx context.Context, dir string, limit int) (_ []AuditEvent, err error) {
	if err := refuseOther(dir); err != nil {
		return nil, err
	}
	if _, err := os.Stat(home.Database.In(dir)); errors.Is(err, fs.ErrNotExist) {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "the site in %s has no network cache yet", dir), "overland site run %s --cache-listen ADDR", dir)
	}
	known, err := openFacts(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, known.Close()) }()
	list, err := known.Events(ctx, limit)
	events := make([]AuditEvent, len(list))
	for i, e := range list {
		events[i] = AuditEvent(e)
		events[i].Time = e.Time.UTC()
	}
	return events, err
}

// trail is the audit log of a running site. It is shortened once a day, and after so many events: a
// writer may cause many millions in a day.
type trail struct {
	known       *db.DB
	keep, every int
	n           atomic.Int64
}

// note makes e durable. What has happened is noted also when ctx of its request has ended.
func (t *trail) note(e server.Event) error {
	if err := t.known.AddEvent(context.Background(), eventOf(e)); err != nil {
		return err
	}
	if t.n.Add(1)%int64(t.every) != 0 {
		return nil
	}
	return t.known.TrimEvents(context.Background(), t.keep)
}

func eventOf(e server.Event) db.Event {
	return db.Event{
		Time: e.Time, Action: e.Action, Result: e.Result, Account: e.Account, Remote: e.Remote, Key: e.Key, SHA512: e.Name, Size: e.Size,
		Signer: e.Signer,
	}
}

// importAudit moves the log files in folder, of before the site had a database, into it: the oldest
// first, and each is removed when its events are durable.
func importAudit(ctx context.Context, folder string, known *db.DB, log *slog.Logger) error {
	names := []string{"audit.log"}
	for n := range auditFiles {
		names = append(names, "audit.log."+strconv.Itoa(n+1))
	}
	slices.Reverse(names)
	for _, name := range names {
		path := filepath.Join(folder, name)
		list, bad, err := readAudit(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = known.ImportEvents(ctx, list)
		}
		if err == nil && bad == 0 {
			err = os.Remove(path)
		} else if err == nil { // nothing is lost: a person may look at it
			err = os.Rename(path, path+".damaged")
			log.Warn("lines of the audit log cannot be read", "lines", bad, "file", path+".damaged")
		}
		if err != nil {
			return fmt.Errorf("import %s: %w", path, err)
		}
	}
	return nil
}

// readAudit returns the events in the file at path, and how many of its lines could not be read.
func readAudit(path string) (list []db.Event, bad int, err error) {
	f, err := fsx.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, auditLine)
	for lines.Scan() {
		var e server.Event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			bad++
			continue
		}
		list = append(list, eventOf(e))
	}
	return list, bad, lines.Err()
}
