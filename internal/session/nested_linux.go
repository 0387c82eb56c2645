package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"overland/internal/confine/cell"
	"overland/internal/ecosystem"
	"overland/internal/ecosystem/plain"
	"overland/internal/fsx"
)

// Nested runs o.Command in a cell, from which nothing can be reached but the session that this
// process runs in; environ is this process's. Instead of the session's folder the command sees one
// of its own, below the first of o.Own: the tools outside of the cell run programs from the
// session's, with the caller's rights. Of o only the fields from Command to Stderr and from Own to
// Limits count. An error of the command is an *ExitError.
func Nested(ctx context.Context, environ []string, o Options) error {
	c := cell.Options{
		Command: o.Command, Dir: o.WorkDir, Environ: merge(Own(environ), variables(o.Environ)),
		Own: slices.Clone(o.Own), Write: o.Write, Read: o.Read, Hide: o.Hide,
		Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, Limits: o.Limits, Grace: shutdown,
	}
	if dir := value(environ, envDir); dir != "" {
		own, err := apart(dir, o.Own[0], value(environ, "HTTP_PROXY"))
		if err != nil {
			return fmt.Errorf("a folder apart from that of the session: %w", err)
		}
		c.At = map[string]string{dir: own}
		c.Environ = merge(c.Environ, apartSettings(dir, own))
	}
	f := forwarder{first: []byte{plain.Beyond}}
	if at, err := url.Parse(value(environ, "HTTP_PROXY")); err == nil && at.Host != "" {
		c.ListenAt = at.Host // the same as outside: many files of the session name it
		c.Listen = func(l net.Listener) ([]string, error) {
			f.start(ctx, l, at.Host)
			return nil, nil
		}
	}
	exit, _, err := cell.Run(ctx, c)
	f.stop()
	return o.ended(ctx, exit, err)
}

// apartSettings returns the settings of the tools for their caches in own, which the command sees
// at dir.
func apartSettings(dir, own string) map[string]string {
	set := map[string]string{}
	for _, t := range ecosystem.Table() {
		if t.Caches == nil {
			continue
		}
		for _, kv := range t.Caches(own, false) {
			add(set, []string{strings.ReplaceAll(kv, own, dir)})
		}
	}
	return set
}

// apart makes a folder in parent with the files that point tools at the session in dir, but without
// its logins and caches.
func apart(dir, parent, proxy string) (string, error) {
	own, err := os.MkdirTemp(parent, "session-")
	if err != nil {
		return "", err
	}
	const dirMode, mode = 0o700, 0o700
	for _, name := range []string{"apt/lists/partial", "apt/archives/partial", "apk", "bin"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(own, name), dirMode))
	}
	bundles, _ := filepath.Glob(filepath.Join(dir, "ca-*.pem"))
	for i := range bundles {
		bundles[i] = filepath.Base(bundles[i])
	}
	for _, name := range append(bundles, authorityFile, javaFile, "apt/apt.conf", "apt/overland.sources", "bin/apk", "npmrc") {
		b, e := fsx.ReadFile(filepath.Join(dir, name), bundlesMost)
		if errors.Is(e, fs.ErrNotExist) {
			continue
		}
		err = errors.Join(err, e, os.WriteFile(filepath.Join(own, name), b, mode))
	}
	return own, errors.Join(err, os.WriteFile(filepath.Join(own, wgetFile), wgetSettings(proxy, filepath.Join(dir, authorityFile)), mode))
}

// variables returns the settings in list, NAME=VALUE.
func variables(list []string) map[string]string {
	set := map[string]string{}
	add(set, list)
	return set
}

// forwarder connects the clients of a listener with an address.
type forwarder struct {
	first []byte                // what comes before a client's own bytes
	met   func(client net.Conn) // before it is connected; nil = nobody is told
	l     net.Listener
	mu    sync.Mutex
	open  map[net.Conn]bool
	ended bool
	all   sync.WaitGroup
}

func (f *forwarder) start(ctx context.Context, l net.Listener, to string) {
	f.l, f.open = l, map[net.Conn]bool{}
	f.all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.all.Go(func() { f.join(ctx, c, to) })
		}
	})
}

// join copies both ways until both have ended.
func (f *forwarder) join(ctx context.Context, inner net.Conn, to string) {
	defer f.forget(inner)
	if !f.hold(inner) {
		return
	}
	if f.met != nil {
		f.met(inner)
	}
	var d net.Dialer
	outer, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		if c, ok := inner.(*net.TCPConn); ok {
			_ = c.SetLinger(0) // as near to a refusal as one comes: it is reset
		}
		return
	}
	defer f.forget(outer)
	if !f.hold(outer) {
		return
	}
	if _, err := outer.Write(f.first); err != nil {
		return
	}
	var one sync.WaitGroup
	one.Go(func() { half(outer, inner) })
	half(inner, outer)
	one.Wait()
}

// half copies one way and passes the end on.
func half(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if c, ok := to.(*net.TCPConn); ok {
		_ = c.CloseWrite()
	}
}

// hold notes that c is to be closed at the end; false = the end has come already.
func (f *forwarder) hold(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[c] = true
	return !f.ended
}

func (f *forwarder) forget(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, c)
	_ = c.Close()
}

func (f *forwarder) stop() {
	if f.l == nil {
		return
	}
	_ = f.l.Close()
	f.mu.Lock()
	f.ended = true
	for c := range f.open {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.all.Wait()
}
