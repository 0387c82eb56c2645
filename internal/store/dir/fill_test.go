package dir_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/store/dir"
)

// pieces yields left pieces of a KiB, each after the time wait.
type pieces struct {
	left int
	wait time.Duration
}

func (r *pieces) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	r.left--
	time.Sleep(r.wait)
	return min(len(p), 1<<10), nil
}

// What comes fast is written and hashed in large pieces, whatever the pieces it comes in; what comes slowly as it comes, so that
// next to nothing is lost of it when this process is killed.
func TestFastPiecesAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		buf := make([]byte, 64<<10)
		if n, err := dir.Fill(&pieces{100, 0}, buf); n != len(buf) || err != nil {
			t.Errorf("fast: %d bytes, %v, want %d", n, err, len(buf))
		}
		if n, err := dir.Fill(&pieces{10, 0}, buf); n != 10<<10 || !errors.Is(err, io.EOF) {
			t.Errorf("fast, and short: %d bytes, %v, want %d and the end", n, err, 10<<10)
		}
		if n, err := dir.Fill(&pieces{100, 250 * time.Millisecond}, buf); n != 1<<10 || err != nil {
			t.Errorf("slow: %d bytes, %v, want those of one piece", n, err)
		}
	})
}
