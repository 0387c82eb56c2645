package rootfs_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"go.uber.org/goleak"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/builder/rootfs"
	"overland/internal/clock"
	"overland/internal/ecosystem/apt"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/platform"
	"overland/internal/record"
	"overland/internal/store/dir"
	"overland/internal/testkit/pack"
	"overland/internal/testkit/recording"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// archive is Debian as the test makes it: debian/calm and debian-security/calm-security.
type archive struct {
	t      *testing.T
	key    *openpgp.Entity
	etc    string
	store  *dir.Store
	url    string
	notes  []string
	before *lockfile.Lock // what is locked already in a recording

	mu    sync.Mutex
	files map[string][]byte
	index map[string]string // the Packages of a suite and architecture
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	a := &archive{
		t: t, key: pack.OpenPGP(pack.DebianBirth), etc: t.TempDir(), store: recording.Store(t),
		files: map[string][]byte{}, index: map[string]string{},
	}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	a.url = srv.URL
	keyring := filepath.Join(a.etc, "archive.asc")
	// The sources name another suite: only archive and keys count.
	sources := fmt.Sprintf("deb [signed-by=%s] %s/debian old main\ndeb [signed-by=%s] %s/debian-security old-security main\n", keyring, srv.URL, keyring, srv.URL)
	for name, text := range map[string]string{keyring: pack.Armour(a.key), filepath.Join(a.etc, "sources.list"): sources} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, arch := range []string{"amd64", "armel"} {
		a.base(arch)
	}
	return a
}

// baseFiles is the script of base-files, in short.
const baseFiles = `#!/bin/sh
set -e
if [ "$1" = configure ] && [ -z "$2" ]; then
	for f in profile motd; do [ -f /etc/$f ] || cp -p /usr/share/base-files/$f /etc/$f; done
	mkdir -p /var && mkdir /var/mail && chown root:mail /var/mail && chmod 2775 /var/mail
	ln -s /run /var/run
fi
`

// base adds what every root file system has.
func (a *archive) base(arch string) {
	file := func(name string) pack.DebEntry {
		return pack.DebEntry{Name: "./usr/share/base-files/" + name, Text: name + "\n"}
	}
	a.add("debian/calm", arch, "Package: base-files\nVersion: 13\nArchitecture: "+arch+"\nPre-Depends: awk", map[string]string{"postinst": baseFiles},
		pack.DebEntry{Name: "./"}, pack.DebEntry{Name: "./etc/"}, pack.DebEntry{Name: "./root/"}, pack.DebEntry{Name: "./var/"}, pack.DebEntry{Name: "./usr/bin/"}, pack.DebEntry{Name: "./usr/lib/os-release", Text: "ID=debian\n"}, file("dot.profile"), file("dot.bashrc"),
		file("profile"), file("motd"), pack.DebEntry{Name: "./tmp/", Header: tar.Header{Mode: 0o1777}})
	a.add("debian/calm", arch, "Package: base-passwd\nVersion: 3\nArchitecture: "+arch+"\nDepends: libc6",
		map[string]string{"md5sums": "0  usr/sbin/update-passwd\n1  usr/share/base-passwd/passwd.master\n"},
		pack.DebEntry{Name: "./usr/sbin/update-passwd", Text: "\x7fELF for " + arch},
		pack.DebEntry{Name: "./usr/share/base-passwd/passwd.master", Text: "root:*:0:0::/root:/bin/sh\n"},
		pack.DebEntry{Name: "./usr/share/base-passwd/group.master", Text: "root:*:0:\nmail:*:8:\n"})
}

// add publishes a package in a suite, "debian/calm", for arch.
func (a *archive) add(at, arch, control string, more map[string]string, entries ...pack.DebEntry) {
	a.t.Helper()
	files := map[string]string{"control": control + "\n"}
	for name, text := range more {
		files[name] = text
	}
	b := pack.Deb(files, entries...)
	words := strings.Fields(control)
	name, _, _ := strings.Cut(at, "/")
	rel := fmt.Sprintf("pool/main/%s_%s_%s.deb", words[1], words[3], words[5])
	a.files[name+"/"+rel] = b
	a.index[at+" "+arch] += pack.DebStanza(control, rel, b) + "\n"
}

// publish writes the indexes.
func (a *archive) publish() {
	for _, at := range []string{"debian/calm", "debian-security/calm-security"} {
		name, suite, _ := strings.Cut(at, "/")
		lists := map[string][]byte{}
		for _, arch := range []string{"amd64", "armel"} {
			lists["main/binary-"+arch+"/Packages"] = []byte(a.index[at+" "+arch])
		}
		for rel, b := range lists {
			a.files[name+"/dists/"+suite+"/"+rel] = b
		}
		a.files[name+"/dists/"+suite+"/InRelease"] = pack.DebianRelease(a.key, suite, lists)
	}
}

func (a *archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, ok := a.files[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(b)
}

// recorded builds root through a recorder, and returns the tar and the lock.
func (a *archive) recorded(root rootfs.Root, p platform.Platform) ([]byte, *lockfile.Lock, error) {
	a.t.Helper()
	sources, err := apt.ReadSources(a.etc)
	if err != nil {
		a.t.Fatal(err)
	}
	protocol, err := apt.New(sources, apt.Options{Dir: a.etc, Clock: clock.At(pack.DebianBirth.Add(2 * time.Hour))})
	if err != nil {
		a.t.Fatal(err)
	}
	return a.through(protocol, rootfs.Options{Etc: a.etc}, root, p)
}

// through builds root in a recording that asks protocol, and returns the tar and the lock.
func (a *archive) through(protocol interface {
	record.Protocol
	Below(u *url.URL) string
}, o rootfs.Options, root rootfs.Root, p platform.Platform,
) ([]byte, *lockfile.Lock, error) {
	a.t.Helper()
	r := recording.Recorder(a.t, a.store, a.before)
	mounted := record.Handler(r, protocol)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		inner := q.Clone(q.Context())
		inner.URL = &url.URL{Path: "/" + protocol.Name() + protocol.Below(q.URL)}
		mounted.ServeHTTP(w, inner)
	}))
	defer srv.Close()
	proxy, err := url.Parse(srv.URL)
	if err != nil {
		a.t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy)}
	defer transport.CloseIdleConnections()
	o.Store, o.Env, o.Client = a.store, []string{"OVERLAND_SESSION=record"}, &origin.Client{Transport: transport, Tries: 1, Dir: a.t.TempDir()}
	out, err := a.build(rootfs.New(o), root, p, nil)
	if lost := r.Settle(); lost != nil {
		a.t.Fatal(lost)
	}
	return out, r.Lock(), err
}

// again builds root from the lock alone.
func (a *archive) again(root rootfs.Root, p platform.Platform, l *lockfile.Lock) ([]byte, error) {
	a.t.Helper()
	var text bytes.Buffer
	if err := l.Write(&text); err != nil {
		a.t.Fatal(err)
	}
	return a.build(rootfs.New(rootfs.Options{Store: a.store, Env: []string{}, Etc: "/none", Apk: "/none"}), root, p, text.Bytes())
}

func (a *archive) build(b *rootfs.Builder, root rootfs.Root, p platform.Platform, lock []byte) ([]byte, error) {
	a.t.Helper()
	a.notes = nil
	j := builder.Job{
		Name: "base", Platform: p, Artifact: appfile.Artifact{Builder: rootfs.Key, Settings: &root},
		Progress: func(builder.Step, string) {}, Note: func(s string) { a.notes = append(a.notes, s) },
		ReadFile: func(context.Context, string) ([]byte, error) {
			if lock == nil {
				return nil, fs.ErrNotExist
			}
			return lock, nil
		},
	}
	recipe, err := b.Recipe(a.t.Context(), j)
	if err != nil {
		return nil, err
	}
	out, err := b.Build(a.t.Context(), j, recipe, "", a.t.TempDir())
	if err != nil {
		return nil, err
	}
	if !out.Data || recipe.Toolchain != out.Toolchain {
		a.t.Errorf("%+v of %+v", out, recipe)
	}
	text, err := os.ReadFile(out.File)
	if err != nil {
		a.t.Fatal(err)
	}
	return text, nil
}

// members yields the entries of a tar and their bytes.
func members(t *testing.T, b []byte) iter.Seq2[*tar.Header, []byte] {
	t.Helper()
	return func(yield func(*tar.Header, []byte) bool) {
		for r := tar.NewReader(bytes.NewReader(b)); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if !yield(h, text) {
				return
			}
		}
	}
}

// listed returns the entries of a tar, a line each.
func listed(t *testing.T, b []byte) string {
	t.Helper()
	var out strings.Builder
	for h, text := range members(t, b) {
		if strings.HasPrefix(h.Name, "var/lib/dpkg") {
			text = nil
		}
		fmt.Fprintf(&out, "%c %04o %d:%d %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Name)
		if h.Linkname != "" {
			fmt.Fprintf(&out, " -> %s", h.Linkname)
		}
		fmt.Fprintf(&out, " %s\n", strings.TrimSpace(string(text)))
	}
	return out.String()
}
