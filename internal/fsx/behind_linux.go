package fsx

import (
	"os"

	"golang.org/x/sys/unix"
)

// flush starts writing n bytes at off to the disk.
func flush(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// evict waits until n bytes at off are on the disk and drops them from memory: n = 0 would mean
// all that follow.
func evict(f *os.File, off, n int64) {
	if n == 0 {
		return
	}
	const wait = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	_ = unix.SyncFileRange(int(f.Fd()), off, n, wait)
	drop(f, off, n)
}

func drop(f *os.File, off, n int64) {
	_ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED)
}
