package server

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// event is one line of audit.log: what an account wrote, or was refused.
type event struct {
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

// audit appends events to the file audit.log. One write is one line, also among several processes.
type audit struct {
	mu    sync.Mutex
	shelf *Shelf
}

// note makes e durable before the client hears of it: what is acknowledged is in the log.
func (a *audit) note(e event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	f, err := a.shelf.fs.OpenFile(filepath.Join(a.shelf.dir, "audit.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
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
