package server

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"overland/internal/fsx"
	storedir "overland/internal/store/dir"
	"overland/internal/testkit/crash"
)

// TestMain also plays the other processes of the tests: OVERLAND_SHACACHE_TEST names the part.
func TestMain(m *testing.M) {
	if part := os.Getenv("OVERLAND_SHACACHE_TEST"); part != "" {
		if err := play(part, os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func other(part, dir, arg string) *exec.Cmd {
	return crash.Other("OVERLAND_SHACACHE_TEST", part, dir, arg)
}

func play(part, dir, arg string) error {
	s, err := openIn(dir, fsx.FS{})
	if err != nil {
		return err
	}
	switch part {
	case "add": // adds entries of its own for ever, and says which are acknowledged
		for i := 0; ; i++ {
			if err := s.Add(context.Background(), recordOf("k", arg+"."+strconv.Itoa(i))); err != nil {
				return err
			}
			fmt.Println(arg + "." + strconv.Itoa(i))
		}
	case "blob": // begins to store a blob, says so, and waits to be killed
		pr, pw := io.Pipe()
		go func() {
			_, _ = pw.Write(bytes.Repeat([]byte("x"), 1<<20))
			fmt.Println("written")
		}()
		_, _, err := s.PutBlob(context.Background(), pr, "", 2<<20, maxBlob)
		return err
	}
	return fmt.Errorf("no part %q", part)
}

func openIn(dir string, disk fsx.FS) (*Shelf, error) {
	depot, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{FS: disk, Reserve: -1})
	if err != nil {
		return nil, err
	}
	return Open(filepath.Join(dir, "netcache"), depot, disk)
}

func shelf(t *testing.T) *Shelf {
	t.Helper()
	s, err := openIn(t.TempDir(), fsx.FS{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// nameOf returns the sha512 of b in hex.
func nameOf(b []byte) string {
	sum := sha512.Sum512(b)
	return hex.EncodeToString(sum[:])
}

func metadata(note string) string {
	b, err := json.Marshal(map[string]string{"sha512": nameOf([]byte(note)), "note": note})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func recordOf(key, note string) Record { return Record{Key: key, Metadata: metadata(note)} }

// clean fails the test when a shelf and its depot hold a file that is not whole or not named.
func clean(t *testing.T, s *Shelf) {
	t.Helper()
	err := filepath.WalkDir(filepath.Dir(s.dir), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.Contains(path, ".tmp-") || strings.Contains(path, "/ingest/") && !strings.HasSuffix(path, ".lock")) {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
