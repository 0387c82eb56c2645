package site

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/fetch"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/testkit/badlink"
)

const (
	childRole  = "OVERLAND_SITE_CHILD" // site, near, node, flood or subnet
	childDir   = "OVERLAND_SITE_CHILD_DIR"
	childAddr  = "OVERLAND_SITE_CHILD_ADDR"
	childURLs  = "OVERLAND_SITE_CHILD_URLS"
	childBlob  = "OVERLAND_SITE_CHILD_BLOB"
	childStall = "OVERLAND_SITE_CHILD_STALL"
)

// child is a site or a node on a host of its own: this test binary, started again.
func child(role string) {
	work := childNode
	switch role {
	case "near":
		work = childNear
	case "flood":
		work = childFlood
	case "subnet":
		work = childSubnet
	case "site":
		work = func() error {
			return Run(context.Background(), os.Getenv(childDir), Options{
				Listen: os.Getenv(childAddr),
				Ready:  func(addr string) { fmt.Println("ready", addr) },
			})
		}
	}
	if err := work(); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func childNode() error {
	s, err := storedir.Open(os.Getenv(childDir), storedir.Options{})
	if err != nil {
		return err
	}
	o := fetch.Options{}
	if o.Stall, err = time.ParseDuration(os.Getenv(childStall)); err != nil {
		return err
	}
	for _, url := range strings.Fields(os.Getenv(childURLs)) {
		src, err := fetch.Site(url, fetch.SiteOptions{})
		if err != nil {
			return err
		}
		o.Sources = append(o.Sources, src)
	}
	var b fetch.Blob
	if _, err := fmt.Sscan(os.Getenv(childBlob), &b.Digest, &b.Size, &b.Chunks); err != nil {
		return err
	}
	o.Progress = func(e fetch.Event) {
		if e.Digest == b.Digest {
			fmt.Println("at", e.Done, e.Moved, e.Source)
		}
	}
	return fetch.New(s, o).Fetch(context.Background(), b)
}

// hosted starts this binary on h and returns the lines that it prints.
func hosted(t *testing.T, h *badlink.Host, env ...string) (lines *bufio.Scanner, wait func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := h.Command(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	t.Cleanup(func() {
		cancel()
		if !ended {
			_, _ = io.Copy(io.Discard, out)
			_ = cmd.Wait() // killed
		}
	})
	return bufio.NewScanner(out), func() error { ended = true; return cmd.Wait() }
}

// siteOn runs a site with the blobs on h and returns its URL.
func siteOn(t *testing.T, h *badlink.Host, blobs ...[]byte) string {
	t.Helper()
	dir := t.TempDir()
	info, err := Init(dir)
	if err != nil {
		t.Fatal(err)
	}
	depot, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blobs {
		if _, err := store.PutBytes(t.Context(), depot, b); err != nil {
			t.Fatal(err)
		}
	}
	addr := h.IP() + ":8443"
	lines, _ := hosted(t, h, childRole+"=site", childDir+"="+dir, childAddr+"="+addr)
	if !lines.Scan() || lines.Text() != "ready "+addr {
		t.Fatalf("site: %q, %v", lines.Text(), lines.Err())
	}
	return info.URL(addr)
}

// nodeOn fetches b on h, calling at for each event, and returns the
// bytes moved and the sources used.
func nodeOn(t *testing.T, h *badlink.Host, b fetch.Blob, stall string, urls []string, at func(done int64)) (dir string, moved int64, used []string) {
	t.Helper()
	dir = t.TempDir()
	lines, wait := hosted(t, h, childRole+"=node", childDir+"="+dir, childURLs+"="+strings.Join(urls, " "), childStall+"="+stall,
		fmt.Sprintf("%s=%s %d %s", childBlob, b.Digest, b.Size, b.Chunks))
	for lines.Scan() {
		var done int64
		var source string
		if _, err := fmt.Sscanf(lines.Text(), "at %d %d site %s", &done, &moved, &source); err != nil {
			t.Fatal(lines.Text())
		}
		if len(used) == 0 || used[len(used)-1] != source {
			used = append(used, source)
		}
		at(done)
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	return dir, moved, used
}

func verify(t *testing.T, dir string, d digest.Digest) {
	t.Helper()
	s, err := storedir.Open(dir, storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Verify(t.Context(), s, d); err != nil {
		t.Fatal(err)
	}
}

func newNet(t *testing.T, hosts int) *badlink.Net {
	t.Helper()
	n, err := badlink.NewNet(t.Context(), hosts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func TestHostsTheCableIsPulledInTheMiddle(t *testing.T) {
	n := newNet(t, 3)
	body := random(24<<20 + 5)
	list, err := store.Chunks(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	urls := []string{siteOn(t, n.Host(0), body, list), siteOn(t, n.Host(1), body, list)}
	node := n.Host(2)
	if err := node.Limit(8 << 20); err != nil {
		t.Fatal(err)
	}
	b := fetch.Blob{Digest: digest.Of(body), Size: int64(len(body)), Chunks: digest.Of(list)}
	pulled := false
	dir, moved, used := nodeOn(t, node, b, "2s", urls, func(done int64) {
		if done > 8<<20 && !pulled {
			pulled = true
			if err := n.Host(0).Unplug(); err != nil {
				t.Error(err)
			}
		}
	})
	verify(t, dir, b.Digest)
	if !pulled || len(used) != 2 {
		t.Errorf("pulled %v, sources %v; want the first, then the second", pulled, used)
	}
	down, _, err := node.Counts()
	t.Logf("needed %d bytes, moved %d, on the wire %d, from %v, %v", b.Size, moved, down, used, err)
	if float64(moved) > 1.02*float64(b.Size) {
		t.Errorf("moved %d bytes for %d", moved, b.Size)
	}
}

func TestHostsALinkOf4KBPerSecond(t *testing.T) {
	n := newNet(t, 2)
	body := random(40_000) // the first 16 KB go in one burst
	url := siteOn(t, n.Host(0), body)
	if err := n.Host(1).Limit(4096); err != nil {
		t.Fatal(err)
	}
	b := fetch.Blob{Digest: digest.Of(body), Size: int64(len(body)), Chunks: digest.Of(nil)} // too small to need them
	// The watchdog is tighter than the whole takes: what counts is that bytes
	// come, not when they are all there.
	dir, moved, _ := nodeOn(t, n.Host(1), b, "5s", []string{url}, func(int64) {})
	verify(t, dir, b.Digest)
	if moved != b.Size {
		t.Errorf("moved %d bytes for %d", moved, b.Size)
	}
}
