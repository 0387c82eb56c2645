package server_test

import (
	"bytes"
	"context"
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
	"overland/internal/netcache/server"
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
	s, err := server.OpenIn(dir, fsx.FS{})
	if err != nil {
		return err
	}
	switch part {
	case "add": // adds entries of its own for ever, and says which are acknowledged
		for i := 0; ; i++ {
			if err := s.Add(context.Background(), server.RecordOf("k", arg+"."+strconv.Itoa(i))); err != nil {
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
		_, _, err := s.PutBlob(context.Background(), pr, "", 2<<20, server.MaxBlob)
		return err
	}
	return fmt.Errorf("no part %q", part)
}

// clean fails the test when the shelf in dir and its depot hold a file that is not whole or not named.
func clean(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.Contains(path, ".tmp-") || strings.Contains(path, "/ingest/") && !strings.HasSuffix(path, ".lock")) {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
