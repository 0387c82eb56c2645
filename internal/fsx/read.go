package fsx

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrTooLong is wrapped by the error of a read that found more than it may.
var ErrTooLong = errors.New("longer than its limit")

// ReadFile returns what the regular file path holds, at most limit bytes.
func ReadFile(path string, limit int64) ([]byte, error) {
	// A pipe, placed where a file belongs, must not stop the reader for good.
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: not a regular file", path)
	}
	return Read(f, path, limit)
}

// Read returns what r, which is called name, holds, at most limit bytes.
func Read(r io.Reader, name string, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case int64(len(b)) > limit:
		return nil, fmt.Errorf("read %s: %w (%d bytes)", name, ErrTooLong, limit)
	}
	return b, nil
}
