package printer

import (
	"fmt"
	"io"
	"sync"
)

// Result is standard output, where a program prints what it was asked for. It remembers that something
// could not be written, and what prints need not look: the program asks Err once, when it ends. It is
// safe for concurrent use.
type Result struct {
	mu  sync.Mutex
	w   io.Writer
	err error
}

// NewResult returns a Result that writes to w.
func NewResult(w io.Writer) *Result { return &Result{w: w} }

// Write implements io.Writer. After the first error nothing more is written.
func (r *Result) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.w.Write(b)
	if err != nil {
		r.err = fmt.Errorf("print the result: %w", err)
	}
	return n, r.err
}

// Err returns the first error of Write, the same value that Write returned.
func (r *Result) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
