package origin

import (
	"context"
	"io"
	"net/http"
	"os"
	"sync"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// Flow is the body of an answer while it comes. Nothing of it is proved: whoever hands it on keeps
// the end back until the whole is. It is safe for concurrent use.
type Flow struct {
	MediaType string
	Header    http.Header // the origin's
	Asked     http.Header // of the request

	mu     sync.Mutex
	more   sync.Cond // of mu
	size   int64     // bytes that will come; -1 = unknown
	file   *os.File  // nil once the answer is closed
	n      int64     // bytes that can be read
	read   int64     // bytes that were handed out
	whole  bool
	failed error
	digest digest.Digest // once it is whole
}

var errOther = errs.Errorf(errs.Unavailable, "the origin sent other bytes when it was asked again")

func newFlow(file *os.File) *Flow {
	f := &Flow{size: -1, file: file}
	f.more.L = &f.mu
	return f
}

// Open returns a reader of the body from its start, which waits for what has not come yet until ctx
// ends. It may outlive the answer. The caller closes it.
func (f *Flow) Open(ctx context.Context) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil, os.ErrClosed
	}
	file, err := fsx.Reopen(f.file)
	if err != nil {
		return nil, err
	}
	return &flowReader{f: f, file: file, ctx: ctx, stop: context.AfterFunc(ctx, f.wake)}, nil
}

// Digest returns the name of the whole; "" before its end.
func (f *Flow) Digest() digest.Digest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.digest
}

// Size returns how many bytes there will be; -1 = unknown.
func (f *Flow) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// Came returns how many bytes can be read.
func (f *Flow) Came() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *Flow) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.more.Broadcast()
}

// expect says how many bytes there will be.
func (f *Flow) expect(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size = n
}

// grow says that n bytes can be read.
func (f *Flow) grow(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n = n
	f.more.Broadcast()
}

// shrink says that only the first n bytes are right: whoever read more has read something else.
func (f *Flow) shrink(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n = min(f.n, n)
	if f.read > n && f.failed == nil {
		f.failed = errOther
	}
	f.more.Broadcast()
}

// end says that nothing more comes: the whole is d, or the transfer failed.
func (f *Flow) end(d digest.Digest, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = err
	}
	f.whole, f.digest = err == nil, d
	f.more.Broadcast()
}

// close says that the file is not open any more.
func (f *Flow) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.file = nil
}

type flowReader struct {
	f    *Flow
	file *os.File
	ctx  context.Context // of whoever reads
	stop func() bool
	off  int64
}

// Read implements io.Reader.
func (r *flowReader) Read(p []byte) (int, error) {
	f := r.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.failed == nil && f.n <= r.off && !f.whole && r.ctx.Err() == nil {
		f.more.Wait()
	}
	switch {
	case f.failed != nil:
		return 0, f.failed
	case r.ctx.Err() != nil:
		return 0, context.Cause(r.ctx)
	case f.n <= r.off:
		return 0, io.EOF
	}
	n, err := r.file.ReadAt(p[:min(int64(len(p)), f.n-r.off)], r.off)
	r.off += int64(n)
	f.read = max(f.read, r.off)
	return n, err
}

// Close implements io.Closer.
func (r *flowReader) Close() error {
	r.stop()
	return r.file.Close()
}
