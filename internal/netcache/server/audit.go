package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"overland/internal/fsx"
)

// Event is a line of the audit log: what an account wrote, or was refused.
type Event struct {
	Time    time.Time `json:"time"`
	Action  string    `json:"action"` // blob, entry
	Result  string    `json:"result"` // stored, or why it was refused
	Account string    `json:"account"`
	Remote  string    `json:"remote"`
	Key     string    `json:"key,omitempty"`
	Name    string    `json:"sha512,omitempty"`
	Size    int64     `json:"size,omitempty"`
	Signer  string    `json:"signer,omitempty"`
}

const (
	auditFile  = "audit.log"
	auditLimit = 16 << 20 // bytes, above which a new file is begun
	auditOld   = 8        // older files that stay: audit.log.1 is the newest of them
)

// audit appends events to the file audit.log, for a network cache that has no better place. One
// write is one line, also among several processes.
type audit struct {
	mu    sync.Mutex
	shelf *Shelf
}

// note makes e durable before the client hears of it: what is acknowledged is in the log.
func (a *audit) note(e Event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	path := filepath.Join(a.shelf.dir, auditFile)
	if err := a.rotate(path); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	f, err := a.shelf.fs.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	defer f.Close()
	if _, err = f.Write(append(b, '\n')); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return nil
}

// rotate begins a new file when the one at path is long enough. Of several processes one does it.
func (a *audit) rotate(path string) error {
	long := func() bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() >= auditLimit
	}
	if !long() {
		return nil
	}
	lock, err := fsx.WaitLock(path + ".lock")
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if !long() {
		return nil // another process was first
	}
	for n := auditOld; n > 0; n-- {
		from := path
		if n > 1 {
			from = fmt.Sprintf("%s.%d", path, n-1)
		}
		if err := a.shelf.fs.Rename(from, fmt.Sprintf("%s.%d", path, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
