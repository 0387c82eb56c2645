package session

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestCachesGoAway(t *testing.T) {
	for _, n := range []int{0, 3, few + 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "caches")
			left := filepath.Join(parent, "other"+oldCaches+"1")
			for _, d := range []string{dir, left} {
				sub := filepath.Join(d, "module@v1")
				if err := os.MkdirAll(sub, 0o700); err != nil {
					t.Fatal(err)
				}
				for i := range n {
					if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), nil, 0o400); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Chmod(sub, 0o500); err != nil {
					t.Fatal(err)
				}
			}
			if err := discard(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it still has its name: %v", err)
			}
			deadline := time.After(time.Minute)
			for tick := time.Tick(10 * time.Millisecond); ; {
				list, err := os.ReadDir(parent)
				if err != nil {
					t.Fatal(err)
				}
				if len(list) == 0 {
					break
				}
				select {
				case <-tick:
				case <-deadline:
					t.Fatalf("still there: %v", list)
				}
			}
		})
	}
}
