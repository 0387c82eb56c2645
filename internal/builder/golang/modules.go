package golang

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"

	"overland/internal/admission"
	"overland/internal/builder"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// sums are what the go.sum files of a commit name: "PATH VERSION" and "PATH VERSION/go.mod" → "h1:…".
type sums map[string]string

// readSums returns the sums of the commit for the module or the workspace of s, with the text of
// the files that hold them.
func readSums(ctx context.Context, j builder.Job, s settings) (sums, []byte, error) {
	names := []string{path.Join(s.Dir, "go.sum")}
	if s.Workspace != "" {
		names = []string{s.Workspace + ".sum"}
		modules, _, err := used(ctx, j, s)
		if err != nil {
			return nil, nil, err
		}
		for _, dir := range modules {
			names = append(names, path.Join(dir, "go.sum"))
		}
	}
	list, text := sums{}, []byte(nil)
	for _, name := range names {
		b, err := j.ReadFile(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		text = append(append(text, b...), '\n')
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) == 3 {
				list[f[0]+" "+f[1]] = f[2]
			}
		}
	}
	return list, text, nil
}

// modules is a module proxy for the Go command in a cell: it has what the commit's go.sum names, and
// nothing else. The Go command of this machine brings it, with the caller's settings and logins: it
// gets names and sums, and no file of the commit.
type modules struct {
	host *host
	sums sums
	dir  string // where the machine's Go runs: a module of its own

	turns chan struct{} // one for each command that may run
	busy  sync.RWMutex  // held by each request

	mu   sync.Mutex
	next map[bool]*batch // of zip files (true), and of go.mod files
	err  error           // the first thing that could not be brought
}

// batch is what one command brings.
type batch struct {
	names []string
	done  chan struct{}
	said  map[string]string // what went wrong, by name; "" = with all of them
}

// atOnce is how many commands bring modules at the same time.
const atOnce = 4

// newModules returns a proxy for the modules of c. dir is an empty folder that no cell sees.
func newModules(ctx context.Context, c compile, dir string) (*modules, error) {
	list, text, err := readSums(ctx, c.job, c.settings)
	if err != nil {
		return nil, err
	}
	m := &modules{host: c.host, sums: list, dir: dir, turns: make(chan struct{}, atOnce), next: map[bool]*batch{}}
	const mode = 0o600
	return m, errors.Join(os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module overland.invalid/modules\n\ngo 1.21\n"), mode),
		os.WriteFile(filepath.Join(dir, "go.sum"), text, mode))
}

// serve answers on l until stop is called.
func (m *modules) serve(ctx context.Context, l net.Listener) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	const conns, header = 256, 16 << 10
	srv := admission.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.answer(ctx, w, r) }), header)
	l = admission.Listen(l, admission.Options{Conns: conns})
	var all sync.WaitGroup
	all.Go(func() { _ = srv.Serve(l) }) // ends with Close
	return func() {
		cancel()
		_ = srv.Close()
		all.Wait()
		m.busy.Lock() // all requests have ended
		defer m.busy.Unlock()
	}
}

// failed returns the first thing that could not be brought.
func (m *modules) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// errNotNamed is a request for something that no go.sum of the commit names.
var errNotNamed = errs.Errorf(errs.NotFound, "go.sum does not name it")

// answer answers a request for /PATH/@v/VERSION.info, .mod or .zip (https://go.dev/ref/mod#goproxy-protocol).
func (m *modules) answer(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	m.busy.RLock()
	defer m.busy.RUnlock()
	file, err := m.file(ctx, strings.TrimPrefix(r.URL.Path, "/"))
	if err == nil {
		var f *os.File
		if f, err = fsx.Open(file); err == nil {
			defer f.Close()
			_, _ = io.Copy(w, f) // a client that has gone
			return
		}
	}
	m.mu.Lock()
	if m.err == nil && !errors.Is(err, errNotNamed) {
		m.err = err
	}
	m.mu.Unlock()
	http.Error(w, err.Error(), http.StatusNotFound)
}

// file returns the file of the module cache that a request names, brought when it is missing.
func (m *modules) file(ctx context.Context, request string) (string, error) {
	name, file, ok := strings.Cut(request, "/@v/")
	ext := path.Ext(file)
	mod := module.Version{}
	var err error
	if ok && slices.Contains([]string{".info", ".mod", ".zip"}, ext) {
		mod.Path, err = module.UnescapePath(name)
		if err == nil {
			mod.Version, err = module.UnescapeVersion(strings.TrimSuffix(file, ext))
		}
	}
	whole, head := m.sums[mod.Path+" "+mod.Version], m.sums[mod.Path+" "+mod.Version+"/go.mod"]
	if err != nil || mod.Path == "" || whole == "" && (head == "" || ext == ".zip") {
		return "", errNotNamed
	}
	cached := filepath.Join(m.host.Go.GOMODCACHE, "cache", "download", filepath.FromSlash(request))
	if ext != ".zip" {
		return cached, m.bring(ctx, false, mod, cached)
	}
	if err := m.bring(ctx, true, mod, cached, filepath.Join(m.host.Go.GOMODCACHE, filepath.FromSlash(name)+"@"+strings.TrimSuffix(file, ext))); err != nil {
		return "", err
	}
	return cached, nil
}

// bring makes the machine's Go download mod unless files, the first of which is what is needed and
// the second one where it is unpacked, are there.
func (m *modules) bring(ctx context.Context, whole bool, mod module.Version, files ...string) error {
	missing := func(file string) bool { _, err := os.Stat(file); return err != nil }
	if !slices.ContainsFunc(files, missing) {
		return nil
	}
	b := m.join(ctx, whole, mod.String())
	switch {
	case missing(files[0]):
		said := b.said[mod.String()]
		if said == "" {
			said = b.said[""]
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return notFetched(mod.String(), said)
	case len(files) > 1 && missing(files[1]):
		return m.unpack(mod, files[0], files[1])
	}
	return nil
}

// join adds name to the batch that is run next, and returns it when it was run.
func (m *modules) join(ctx context.Context, whole bool, name string) *batch {
	m.mu.Lock()
	b := m.next[whole]
	if b == nil {
		b = &batch{done: make(chan struct{}), said: map[string]string{}}
		m.next[whole] = b
	}
	b.names = append(b.names, name)
	m.mu.Unlock()
	m.turns <- struct{}{}
	m.mu.Lock()
	ours := m.next[whole] == b
	if ours {
		delete(m.next, whole)
	}
	m.mu.Unlock()
	if ours {
		m.run(ctx, whole, b)
		close(b.done)
	}
	<-m.turns
	<-b.done
	return b
}

// run downloads what b names.
func (m *modules) run(ctx context.Context, whole bool, b *batch) {
	args := []string{"list", "-m", "-e", "-json"}
	if whole {
		args = []string{"mod", "download", "-json"}
	}
	slices.Sort(b.names)
	out, err := run(ctx, m.dir, append(m.host.fetchEnv(), "GOWORK=off"), m.host.command, append(args, slices.Compact(b.names)...)...)
	var ended *runError
	if errors.As(err, &ended) {
		out, b.said[""] = ended.out, ended.said
	} else if err != nil {
		b.said[""] = err.Error()
	}
	for list := json.NewDecoder(bytes.NewReader(out)); ; {
		var got struct {
			Path, Version string
			Error         any
		}
		if list.Decode(&got) != nil {
			return
		}
		switch said := got.Error.(type) {
		case string:
			b.said[got.Path+"@"+got.Version] = said
		case map[string]any:
			b.said[got.Path+"@"+got.Version] = fmt.Sprint(said["Err"])
		}
	}
}

// unpack makes dir of mod's zip file, as the Go command does. It does not do so for a module that
// wants a newer Go than this machine's: the commit's may be newer.
func (m *modules) unpack(mod module.Version, file, dir string) error {
	sum, err := dirhash.HashZip(file, dirhash.Hash1)
	if err != nil {
		return err
	}
	if want := m.sums[mod.Path+" "+mod.Version]; sum != want {
		return notFetched(mod.String(), fmt.Sprintf("checksum mismatch: downloaded %s, go.sum has %s", sum, want))
	}
	if err := os.MkdirAll(filepath.Dir(dir), fs.ModePerm); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(m.host.Go.GOMODCACHE, "overland-")
	if err != nil {
		return err
	}
	defer func() { _ = fsx.RemoveTree(tmp) }()
	const mode = 0o755
	if err := errors.Join(os.Chmod(tmp, mode), zip.Unzip(tmp, mod, file), os.Rename(tmp, dir)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// verify compares, for a build from nothing, the modules of list, as they are unpacked in the module
// cache, with the commit's go.sum.
func (c compile) verify(ctx context.Context, list map[module.Version]string) error {
	if !c.job.Fresh {
		return nil
	}
	known, _, err := readSums(ctx, c.job, c.settings)
	if err != nil {
		return err
	}
	cache, err := filepath.EvalSymlinks(c.host.Go.GOMODCACHE)
	if err != nil {
		return err
	}
	for mod, dir := range list {
		at, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return err
		}
		if !lies(cache, at) {
			continue // of the commit
		}
		sum, err := dirhash.HashDir(at, mod.String(), dirhash.Hash1)
		if err != nil {
			return err
		}
		if want := known[mod.Path+" "+mod.Version]; sum != want {
			return errs.Hint(errs.Errorf(errs.Untrusted, "the module cache was changed: %s has %s, go.sum %s", mod, sum, want), "go clean -modcache, then build again")
		}
	}
	return nil
}
