package dir_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"overland/internal/digest"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/testkit/crash"
)

// TestMain also plays the other processes of the tests: OVERLAND_STORE_TEST names the part, the
// arguments follow it.
func TestMain(m *testing.M) {
	if part := os.Getenv("OVERLAND_STORE_TEST"); part != "" {
		if err := play(part, os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func play(part, dir, arg string) error {
	s, err := storedir.Open(dir, storedir.Options{})
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(arg)
	if err != nil {
		return err
	}
	switch part {
	case "ingest": // writes n bytes of a blob of 2n, says so, and waits to be killed
		b := noise(2*n, 1)
		i, err := store.Resume(context.Background(), s, digest.Of(b), int64(len(b)))
		if err != nil {
			return err
		}
		if _, err := io.Copy(i, bytes.NewReader(b[i.Offset():n])); err != nil {
			return err
		}
		fmt.Println("written")
		_, err = os.Stdin.Read(make([]byte, 1))
		return err
	case "put": // the same in the middle of a Put
		_, _, err := s.Put(context.Background(), &teller{bytes.NewReader(noise(n, 1))}, "", -1)
		return err
	case "tag": // tags twenty names of its own
		for k := range 20 {
			if err := s.Tag(context.Background(), fmt.Sprintf("n%d.%d", n, k), desc([]byte{byte(n), byte(k)})); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no part %s", part)
}

// teller yields its bytes, then says so and waits.
type teller struct{ *bytes.Reader }

func (t *teller) Read(p []byte) (int, error) {
	if t.Len() == 0 {
		fmt.Println("written")
		_, _ = os.Stdin.Read(make([]byte, 1))
	}
	return t.Reader.Read(p)
}

func other(part, dir string, n int) *exec.Cmd {
	return crash.Other("OVERLAND_STORE_TEST", part, dir, strconv.Itoa(n))
}

// killed runs a part until it says that it has written, then kills it as kill -9 does.
func killed(t *testing.T, part, dir string, n int, meanwhile func()) {
	t.Helper()
	if _, err := crash.Killed(other(part, dir, n), 1, meanwhile); err != nil {
		t.Fatal(err)
	}
}
