package registry_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"overland/internal/auth"
	"overland/internal/db/sqlite"
	"overland/internal/digest"
	"overland/internal/home"
	"overland/internal/operator/holdings"
	domain "overland/internal/registry"
	"overland/internal/server/registry"
	storedir "overland/internal/store/dir"
	"overland/internal/testkit/crash"
)

const childRole = "OVERLAND_REGISTRY_CHILD" // serve or collect

func TestMain(m *testing.M) {
	child := map[string]func(dir, addr string) error{"serve": childServe, "collect": childCollect}[os.Getenv(childRole)]
	if child == nil {
		goleak.VerifyTestMain(m)
		return
	}
	if err := child(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// opened opens the registry of the site directory dir, as a process does.
func opened(dir string, o domain.Options) (*domain.Registry, *storedir.Store, func() error, error) {
	blobs, err := storedir.Open(home.Depot.In(dir), storedir.Options{})
	if err != nil {
		return nil, nil, nil, err
	}
	facts, err := sqlite.Open(context.Background(), home.Database.In(dir))
	if err != nil {
		return nil, nil, nil, err
	}
	r, err := domain.Open(blobs, facts, o)
	if err != nil {
		return nil, nil, nil, errors.Join(err, facts.Close())
	}
	return r, blobs, func() error { return errors.Join(r.Close(), facts.Close()) }, nil
}

// childServe serves at addr, to which everybody may push, until it is killed.
func childServe(dir, addr string) error {
	r, _, _, err := opened(dir, domain.Options{})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return http.Serve(l, registry.New(r, registry.Options{Anyone: []auth.Grant{{Action: auth.Push, Pattern: "**"}}}))
}

// fortnight is past what untagged manifests, uploads and blobs of unfinished pushes live.
const fortnight = domain.UntaggedLife + time.Hour

// childCollect removes what nothing holds, as if a fortnight had passed since it came, and then frees blobs again and
// again, those of a moment ago too, until it is killed. With an address it does so once.
func childCollect(dir, once string) error {
	if err := sweep(dir); err != nil {
		return err
	}
	for {
		if err := collect(dir); err != nil {
			return err
		}
		fmt.Println("collected")
		if once != "" {
			return nil
		}
	}
}

func sweep(dir string) error {
	r, _, done, err := opened(dir, domain.Options{Now: func() time.Time { return time.Now().Add(fortnight) }})
	if err != nil {
		return err
	}
	return errors.Join(r.Sweep(context.Background()), done())
}

func collect(dir string) error {
	blobs, err := storedir.Open(home.Depot.In(dir), storedir.Options{})
	if err != nil {
		return err
	}
	_, err = (&holdings.Holdings{Dir: dir, Depot: blobs}).Collect(context.Background(), holdings.Options{})
	return err
}

// killedStory is a registry that is pushed to, collected and killed.
type killedStory struct {
	t       *testing.T
	dir     string
	url     string
	pushed  atomic.Int64 // requests that were answered
	retries atomic.Int64
	up      atomic.Pointer[chan struct{}] // closed when the registry runs again
	client  http.Client
}

// say sends a request and returns the answer, whose status is one of want.
func (s *killedStory) say(method, path, body string, header http.Header, want ...int) (int, error) {
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	if header != nil {
		r.Header = header
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	s.pushed.Add(1)
	for _, status := range want {
		if resp.StatusCode == status {
			return status, nil
		}
	}
	return 0, fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, text)
}

var storyPlatforms = []string{"amd64", "arm64", "arm/v7", "arm/v6", "arm/v5"}

// push pushes the image n, of five platforms, as a client does: it asks for each blob before it sends it, and the index
// comes last. Images with the same n modulo 3 share their layers but one, and whole images are pushed again.
func (s *killedStory) push(n int) error {
	blob := func(text string) (string, error) {
		d := string(digest.Of([]byte(text)))
		there, err := s.say("HEAD", "/v2/app/blobs/"+d, "", nil, http.StatusOK, http.StatusNotFound)
		if err == nil && there == http.StatusNotFound {
			_, err = s.say("POST", "/v2/app/blobs/uploads/?digest="+d, text, nil, http.StatusCreated)
		}
		return d, err
	}
	index := `{"schemaVersion":2,"manifests":[`
	for i, p := range storyPlatforms {
		base := fmt.Sprintf("base %d of %s", n%3, p)
		app := fmt.Sprintf("app %d of %s", n/2, p)
		config := fmt.Sprintf(`{"architecture":%q,"n":%d}`, p, n/2)
		m := `{"schemaVersion":2,"config":{"digest":%q,"size":%d},"layers":[{"digest":%q,"size":%d},{"digest":%q,"size":%d}]}`
		var names [3]string
		for i, text := range []string{config, base, app} {
			var err error
			if names[i], err = blob(text); err != nil {
				return err
			}
		}
		text := fmt.Sprintf(m, names[0], len(config), names[1], len(base), names[2], len(app))
		d := string(digest.Of([]byte(text)))
		if _, err := s.say("PUT", "/v2/app/manifests/"+d, text, http.Header{"Content-Type": {manifestType}}, http.StatusCreated); err != nil {
			return err
		}
		if i > 0 {
			index += ","
		}
		index += fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, manifestType, d, len(text))
	}
	_, err := s.say("PUT", fmt.Sprintf("/v2/app/manifests/v%d", n), index+"]}", http.Header{"Content-Type": {ocispec.MediaTypeImageIndex}}, http.StatusCreated)
	return err
}

// start starts another process of the story and returns it with its first line.
func (s *killedStory) start(role string, args ...string) (*exec.Cmd, string) {
	s.t.Helper()
	cmd := crash.Other(childRole, role, append([]string{s.dir}, args...)...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.t.Fatalf("%s: %v", role, err)
	}
	return cmd, strings.TrimSpace(line)
}

// whole checks that the image n is there with all its parts, and adds these to parts.
func (s *killedStory) whole(r *domain.Registry, n int, parts map[digest.Digest]bool) {
	s.t.Helper()
	read := func(ref domain.Reference) []byte {
		m, err := r.Manifest(s.t.Context(), "app", ref)
		if err != nil {
			s.t.Fatalf("v%d: %v", n, err)
		}
		defer m.Close()
		b, err := io.ReadAll(m)
		if err != nil || ref.Digest != "" && string(digest.Of(b)) != string(ref.Digest) {
			s.t.Fatalf("v%d: %d bytes of %v, %v", n, len(b), ref, err)
		}
		parts[digest.Of(b)] = true
		return b
	}
	var index ocispec.Index
	if err := json.Unmarshal(read(domain.Reference{Tag: fmt.Sprintf("v%d", n)}), &index); err != nil || len(index.Manifests) != len(storyPlatforms) {
		s.t.Fatalf("v%d: %d platforms, %v", n, len(index.Manifests), err)
	}
	for _, d := range index.Manifests {
		var m ocispec.Manifest
		if err := json.Unmarshal(read(domain.Reference{Digest: domain.Digest(d.Digest)}), &m); err != nil {
			s.t.Fatal(err)
		}
		for _, l := range append(m.Layers, m.Config) {
			b, err := r.Blob(s.t.Context(), "app", domain.Digest(l.Digest), false)
			if err != nil {
				s.t.Fatalf("v%d: %v", n, err)
			}
			text, err := io.ReadAll(b)
			if err := errors.Join(err, b.Close()); err != nil || digest.Of(text) != l.Digest {
				s.t.Fatalf("v%d: %q is not %s, %v", n, text, l.Digest, err)
			}
			parts[l.Digest] = true
		}
	}
}

// Images of five platforms are pushed by two clients at once, while another process removes all that nothing holds, as old
// as it may be, and the registry and that one are killed again and again. What was acknowledged is whole, what was not is
// finished by pushing again, and nothing is left of the rest. OVERLAND_PUSHES says how many images; make crash tries 200.
func TestKilledPushesBesideCollections(t *testing.T) {
	images := 8
	if s := os.Getenv("OVERLAND_PUSHES"); s != "" {
		var err error
		if images, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	inMemory(t)
	s := &killedStory{t: t, dir: t.TempDir()}
	s.client.Transport = &http.Transport{DisableKeepAlives: true} // it would send again by itself
	server, addr := s.start("serve", "127.0.0.1:0")
	s.url = "http://" + addr
	running := make(chan struct{})
	close(running)
	s.up.Store(&running)

	queue, ended := make(chan int), make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for n := range queue {
				for try := 1; ; try++ {
					err := s.push(n)
					if err == nil {
						break
					}
					if s.retries.Add(1); try == 1000 {
						t.Errorf("v%d: %v", n, err)
						break
					}
					<-*s.up.Load()
				}
			}
		})
	}
	go func() {
		for n := range images {
			queue <- n
		}
		close(queue)
		wg.Wait()
		close(ended)
	}()
	kills, perImage := 0, int64(len(storyPlatforms)*7+1)
	for going := true; going; {
		collector, _ := s.start("collect", "")
		until := s.pushed.Load() + 1 + random.Int64N(3*perImage)
		tick := time.NewTicker(time.Millisecond)
		for going && s.pushed.Load() < until {
			select {
			case <-ended:
				going = false
			case <-tick.C:
			}
		}
		tick.Stop()
		up := make(chan struct{})
		s.up.Store(&up)
		for _, cmd := range []*exec.Cmd{server, collector} {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			_ = cmd.Wait()
		}
		kills++
		server, _ = s.start("serve", addr)
		close(up)
	}
	r, blobs, done, err := opened(s.dir, domain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	parts := map[digest.Digest]bool{}
	for n := range images {
		s.whole(r, n, parts)
	}
	err = server.Process.Kill()
	_ = server.Wait() // its files are locked until then
	if err := errors.Join(err, sweep(s.dir), collect(s.dir)); err != nil {
		t.Fatal(err)
	}
	for n := range images {
		s.whole(r, n, parts)
	}
	left := 0
	err = blobs.List(t.Context(), func(d digest.Digest, _ int64) error {
		if !parts[d] {
			left++
		}
		return nil
	})
	if err := errors.Join(err, blobs.Pending(t.Context(), "", func(id string, size int64, _ time.Time) error {
		t.Errorf("the upload %s is left, of %d bytes", id, size)
		return nil
	}), done()); err != nil || left > 0 {
		t.Errorf("%d blobs are left that no image has, %v", left, err)
	}
	t.Logf("%d images, %d kills, %d requests, %d pushes again", images, kills, s.pushed.Load(), s.retries.Load())
}
