package dir_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/store"
	"overland/internal/store/dir"
	"overland/internal/testkit/crash"
)

// What somebody else put where a blob belongs is not the blob: nobody waits for it, and the blob takes its place.
func TestWhatIsNotAFileIsNoBlob(t *testing.T) {
	body := []byte("the blob")
	d := digest.Of(body)
	for what, put := range map[string]func(path string) error{
		"a pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a link to a pipe": func(path string) error {
			return errors.Join(syscall.Mkfifo(path+".pipe", 0o600), os.Symlink(path+".pipe", path))
		},
		"a link to a device": func(path string) error { return os.Symlink("/dev/zero", path) },
		"a link to a folder": func(path string) error { return os.Symlink("/", path) },
		"a link to nothing":  func(path string) error { return os.Symlink("nothing", path) },
	} {
		t.Run(what, func(t *testing.T) {
			at := t.TempDir()
			s, err := dir.Open(at, dir.Options{Reserve: -1})
			if err != nil {
				t.Fatal(err)
			}
			if err := put(filepath.Join(at, store.BlobFolder, d.Encoded())); err != nil {
				t.Fatal(err)
			}
			if b, err := s.Open(t.Context(), d); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("open: %v, %v", b, err)
			}
			if b, err := s.Bytes(t.Context(), d, 100); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("bytes: %q, %v", b, err)
			}
			if n, err := s.Stat(t.Context(), d); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("stat: %d, %v", n, err)
			}
			if err := s.Touch(d); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("touch: %v", err)
			}
			if err := s.Place(t.Context(), d, filepath.Join(t.TempDir(), "program"), 0o755); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("place: %v", err)
			}
			if removed, err := s.Retire(d, time.Now().Add(time.Hour)); removed || err != nil {
				t.Errorf("retire: %v, %v", removed, err)
			}
			if _, err := store.PutBytes(t.Context(), s, body); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Bytes(t.Context(), d, 100); err != nil || string(got) != string(body) {
				t.Errorf("what was put: %q, %v", got, err)
			}
		})
	}
}

// endless is bytes without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// A writer whose length nobody has said, or who has said one that no disk has, leaves others room; so do many at once,
// each of which there is room for.
func TestAWriterLeavesRoomOnTheDisk(t *testing.T) {
	const mib, large = 1 << 20, 1<<63 - 1
	for what, write := range map[string]func(s *dir.Store) error{
		"an upload": func(s *dir.Store) error {
			u, err := s.Begin(t.Context(), "endless", -1)
			if err != nil {
				return err
			}
			defer u.Close()
			buf := make([]byte, mib)
			for err == nil {
				_, err = u.Write(buf)
			}
			return err
		},
		"a blob": func(s *dir.Store) error {
			_, _, err := s.Put(t.Context(), endless{}, "", -1)
			return err
		},
		"an upload of more than there is": func(s *dir.Store) error {
			_, err := s.Begin(t.Context(), "large", large)
			return err
		},
		"a blob of more than there is": func(s *dir.Store) error {
			_, _, err := s.Put(t.Context(), endless{}, "", large)
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			disk, _ := crash.SmallDisk(t, 24*mib)
			s, err := dir.Open(disk, dir.Options{Reserve: 8 * mib})
			if err != nil {
				t.Fatal(err)
			}
			if err := write(s); !errors.Is(err, fsx.ErrNoRoom) {
				t.Errorf("%v", err)
			}
			if free, err := fsx.Free(disk); err != nil || free < 6*mib {
				t.Errorf("%d bytes are free, %v", free, err)
			}
		})
	}
}

// What nobody goes on fetching gives way to whoever writes now, the oldest first; what somebody is fetching, and uploads
// of other kinds, stay.
func TestBeginningsOfBlobsGiveWay(t *testing.T) {
	const mib = 1 << 20
	disk, _ := crash.SmallDisk(t, 24*mib)
	s, err := dir.Open(disk, dir.Options{Reserve: mib})
	if err != nil {
		t.Fatal(err)
	}
	begin := func(id string, size int, at time.Time, leave bool) {
		t.Helper()
		u, err := s.Begin(t.Context(), id, -1)
		if err == nil {
			_, err = u.Write(make([]byte, size))
		}
		if err == nil && leave {
			err = u.Close()
		}
		if err == nil {
			err = os.Chtimes(filepath.Join(disk, "ingest", id+".part"), at, at)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !leave {
			t.Cleanup(func() { u.Close() })
		}
	}
	old, older := digest.Of([]byte("old")).Encoded(), digest.Of([]byte("older")).Encoded()
	busy := digest.Of([]byte("busy")).Encoded()
	now := time.Now()
	begin(busy, 4*mib, now.Add(-3*time.Hour), false)
	begin("registry-1", 4*mib, now.Add(-2*time.Hour), true)
	begin(older, 6*mib, now.Add(-time.Hour), true)
	begin(old, 6*mib, now.Add(-time.Minute), true)
	if _, _, err := s.Put(t.Context(), endless{}, "", 40*mib); !errors.Is(err, fsx.ErrNoRoom) {
		t.Errorf("more than there is, whoever gives way: %v", err)
	}
	if _, err := os.Stat(filepath.Join(disk, "ingest", older+".part")); err != nil {
		t.Errorf("one gave way in vain: %v", err)
	}
	if _, err := store.PutBytes(t.Context(), s, make([]byte, 6*mib)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{busy: true, "registry-1": true, older: false, old: true} {
		if _, err := os.Stat(filepath.Join(disk, "ingest", name+".part")); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
