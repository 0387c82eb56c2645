package volume

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/store"
	"overland/internal/store/dir"
)

// benchSize is how many bytes the benchmarks move; OVERLAND_BENCH_MIB sets another number of MiB.
func benchSize(b *testing.B) int {
	if text := os.Getenv("OVERLAND_BENCH_MIB"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		return n << 20
	}
	return 256 << 20
}

// depot makes a depot of size incompressible bytes in 64 MiB blobs, and content that seals it.
func depot(b *testing.B, size int) (*dir.Store, Content) {
	b.Helper()
	s, err := dir.Open(b.TempDir(), dir.Options{})
	if err != nil {
		b.Fatal(err)
	}
	f := small(b)
	c := f.Content
	for _, d := range f.Blobs {
		if _, err := store.PutBytes(b.Context(), s, f.blobs[d.Digest]); err != nil {
			b.Fatal(err)
		}
	}
	const each = 64 << 20
	for k := range size / each {
		p := noise(each, int64(k))
		if _, err := store.PutBytes(b.Context(), s, p); err != nil {
			b.Fatal(err)
		}
		d := f.Blobs[0]
		d.Digest, d.Size = digest.Of(p), each
		c.Blobs = append(c.Blobs, d)
	}
	c.Open = func(d digest.Digest) (io.ReadCloser, error) { return s.Open(b.Context(), d) }
	runtime.GC()
	return s, c
}

// cpu returns the processor time of this process in the program and in the kernel.
func cpu(b *testing.B) (user, system time.Duration) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano()), time.Duration(u.Stime.Nano())
}

// measure reports the processor time that each GiB took, beside what the wall clock says.
func measure(b *testing.B, size int, work func()) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	user, system := cpu(b)
	for b.Loop() {
		work()
	}
	userNow, systemNow := cpu(b)
	perGiB := func(d time.Duration) float64 { return d.Seconds() / float64(b.N) / float64(size) * (1 << 30) }
	b.ReportMetric(perGiB(userNow-user+systemNow-system), "cpu-s/GiB")
	b.ReportMetric(perGiB(systemNow-system), "kernel-s/GiB")
}

func BenchmarkSeal(b *testing.B) {
	size := benchSize(b)
	_, c := depot(b, size)
	path := filepath.Join(b.TempDir(), "v")
	measure(b, size, func() {
		if _, err := Seal(b.Context(), path, c, Options{}); err != nil {
			b.Fatal(err)
		}
	})
}

func sealed(b *testing.B) (*Volume, Content, int) {
	b.Helper()
	size := benchSize(b)
	_, c := depot(b, size)
	path := filepath.Join(b.TempDir(), "v")
	if _, err := Seal(b.Context(), path, c, Options{}); err != nil {
		b.Fatal(err)
	}
	return open(b, path), c, size
}

func BenchmarkVerify(b *testing.B) {
	v, _, size := sealed(b)
	measure(b, size, func() {
		if err := v.Verify(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkInstall is one hashing pass: from the volume into a depot, as fetch does it.
func BenchmarkInstall(b *testing.B) {
	v, c, size := sealed(b)
	measure(b, size, func() {
		s, err := dir.Open(b.TempDir(), dir.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for _, d := range c.Blobs {
			i, err := store.Resume(b.Context(), s, d.Digest, d.Size)
			if err != nil {
				b.Fatal(err)
			}
			r, _, err := v.Open(b.Context(), d.Digest, 0)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(i, r); err != nil {
				b.Fatal(err)
			}
			if err := errors.Join(r.Close(), i.Commit(b.Context(), d.Digest)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSHA256 is the floor: the same bytes through the hash alone, from the disk's cache.
func BenchmarkSHA256(b *testing.B) {
	v, _, size := sealed(b)
	buf := make([]byte, bufferSize)
	measure(b, size, func() {
		h := digest.New()
		if err := copyRange(b.Context(), h, v.pieces, buf); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkSha256sum is the same by the machine's own tool.
func BenchmarkSha256sum(b *testing.B) {
	v, _, size := sealed(b)
	var used time.Duration
	b.SetBytes(int64(size))
	for b.Loop() {
		cmd := exec.Command("sha256sum", v.Name())
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
		used += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	b.ReportMetric(used.Seconds()/float64(b.N)/float64(size)*(1<<30), "cpu-s/GiB")
}
