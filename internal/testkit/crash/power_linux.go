package crash

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/fsx"
)

// Photographs is how many power-cut points were tried.
type Photographs struct {
	Points   int // operations before which the power was cut, and the end
	Distinct int // different disks among them
}

// PowerCut runs s once on a small ext4 image of size bytes, which writes back nothing that is
// not synced, and copies the image before every operation. Each different copy is then
// mounted and checked. Needs root.
func PowerCut(t *testing.T, s Scenario, size int64) Photographs {
	t.Helper()
	work := t.TempDir()
	album := &album{t: t, dir: work, image: filepath.Join(work, "disk.img"), seen: map[[sha256.Size]byte]string{}}
	format(t, album.image, size)
	mnt := filepath.Join(work, "mnt")
	unmount := mount(t, album.image, mnt)
	defer unmount()
	node := filepath.Join(mnt, "node")
	if err := os.Mkdir(node, 0o755); err != nil {
		t.Fatal(err)
	}
	s.Prepare(t, node)
	unix.Sync()
	if err := s.Run(node, fsx.FS{Before: album.take}); err != nil {
		t.Fatalf("the scenario itself: %v", err)
	}
	if err := album.take(fsx.Op{Name: "the end"}); err != nil {
		t.Fatal(err)
	}
	unmount()
	first, step := points(t)
	for i, p := range album.photos {
		if int64(i)%step != first-1 && p.op.Name != "the end" {
			continue
		}
		point(t, int64(i+1), &p.op, func(t testing.TB) {
			done := mount(t, p.path, mnt)
			defer done()
			s.Check(t, node, p.op.Name == "the end")
		})
		if err := os.Remove(p.path); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d power-cut points, %d different disks, each %d. looked at", album.points, len(album.photos), step)
	return Photographs{Points: album.points, Distinct: len(album.photos)}
}

type photo struct {
	path string
	op   fsx.Op
}

type album struct {
	t      testing.TB
	dir    string
	image  string
	mu     sync.Mutex
	points int
	seen   map[[sha256.Size]byte]string
	photos []photo
}

// take copies the image as the disk would be if the power went now. A disk that was
// seen before is not kept twice.
func (a *album) take(op fsx.Op) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.points++
	path := filepath.Join(a.dir, fmt.Sprintf("photo-%05d.img", a.points))
	sum, err := copySparse(a.image, path)
	if err != nil {
		return err
	}
	if _, again := a.seen[sum]; again && op.Name != "the end" {
		return os.Remove(path)
	}
	a.seen[sum] = path
	a.photos = append(a.photos, photo{path, op})
	return nil
}

// copySparse copies the parts of from that hold data, and returns the sum of them and their places.
func copySparse(from, to string) (sum [sha256.Size]byte, err error) {
	in, err := os.Open(from)
	if err != nil {
		return sum, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return sum, err
	}
	out, err := os.Create(to)
	if err != nil {
		return sum, err
	}
	defer out.Close()
	if err := out.Truncate(info.Size()); err != nil {
		return sum, err
	}
	h := sha256.New()
	for off := int64(0); off < info.Size(); {
		start, err := unix.Seek(int(in.Fd()), off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return sum, err
		}
		end, err := unix.Seek(int(in.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return sum, err
		}
		fmt.Fprintln(h, start, end)
		w := io.MultiWriter(io.NewOffsetWriter(out, start), h)
		if _, err := io.Copy(w, io.NewSectionReader(in, start, end-start)); err != nil {
			return sum, err
		}
		off = end
	}
	h.Sum(sum[:0])
	return sum, nil
}

func format(t testing.TB, image string, size int64) {
	t.Helper()
	file, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Truncate(size), file.Close()); err != nil {
		t.Fatal(err)
	}
	// Small journal and no lazy initialisation: nothing is written that the scenario did not write.
	run(t, "mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4", "-N", "2048", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", image)
}

// mount attaches image and mounts it at dir; the returned function undoes both and may be called
// twice. The image is written back only by syncs: not by time.
func mount(t testing.TB, image, dir string) func() {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// The loop device detaches itself at the unmount, also when this process is
	// killed and the unmount done by hand.
	run(t, "mount", "-o", "loop,commit=300,noatime", image, dir)
	var once sync.Once
	undo := func() {
		once.Do(func() {
			err := unix.Unmount(dir, 0)
			// What runs beside this may look at it for a moment; what stays open here is a fault.
			for tries := 40; errors.Is(err, unix.EBUSY) && tries > 0; tries-- {
				time.Sleep(50 * time.Millisecond)
				err = unix.Unmount(dir, 0)
			}
			if err != nil {
				t.Errorf("unmount %s: %v", dir, err)
				_ = unix.Unmount(dir, unix.MNT_DETACH)
			}
		})
	}
	t.Cleanup(undo)
	return undo
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s(power-cut tests need root, mkfs.ext4 and loop devices)", name, args, err, out)
	}
}
