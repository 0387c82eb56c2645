package fetch_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/fetch"
	storedir "overland/internal/store/dir"
	"overland/internal/store/storetest"
	"overland/internal/testkit/badlink"
)

const (
	childURL  = "OVERLAND_FETCH_CHILD_URL"
	childBlob = "OVERLAND_FETCH_CHILD_BLOB"
	childDir  = "OVERLAND_FETCH_CHILD_DIR"
)

// child fetches what the environment says, telling its progress on standard
// output, until it is killed or done.
func child() {
	err := func() error {
		s, err := storedir.Open(os.Getenv(childDir), storedir.Options{})
		if err != nil {
			return err
		}
		src, err := fetch.Site(os.Getenv(childURL), fetch.SiteOptions{Dial: dialSmall})
		if err != nil {
			return err
		}
		var b fetch.Blob
		if _, err := fmt.Sscan(os.Getenv(childBlob), &b.Digest, &b.Size, &b.Chunks); err != nil {
			return err
		}
		o := fetch.Options{Sources: []fetch.Source{src}, Progress: func(e fetch.Event) {
			if e.Digest == b.Digest {
				fmt.Println("at", e.Done)
			}
		}}
		return fetch.New(s, o).Fetch(context.Background(), b)
	}()
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("done")
	os.Exit(0)
}

func TestKill9AndResume(t *testing.T) {
	const size, kills = 32*mib + 4321, 3
	body := random(11, size)
	b, list := withChunks(t, body)
	// Slow enough that the kernels hold little that the killed child has not read.
	link := behind(t, badlink.Faults{Rate: 24 * mib}, body, list)
	dir := t.TempDir()
	s := openStore(t, dir, storedir.Options{})
	for i := 1; ; i++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childURL+"="+link.url(), childDir+"="+dir,
			fmt.Sprintf("%s=%s %d %s", childBlob, b.Digest, b.Size, b.Chunks))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		goal, done := int64(i)*size/(kills+1), false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var at int64
			text := lines.Text()
			if text == "done" {
				done = true
			} else if strings.HasPrefix(text, "error") {
				t.Fatal(text)
			} else if _, err := fmt.Sscanf(text, "at %d", &at); err == nil && at >= goal && i <= kills {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed, mostly
		if done {
			if i < kills { // the last kill may come too late
				t.Fatalf("done after %d kills, want %d", i-1, kills)
			}
			break
		}
	}
	want(t, s, body)
	atMost(t, link.Link, size)
	if !storetest.Has(t, s, b.Chunks) || b.Digest != digest.Of(body) {
		t.Error("the chunk list is not in the store")
	}
}
