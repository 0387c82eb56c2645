package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"overland/internal/fsx"
	"overland/internal/netcache"
	"overland/internal/netcache/server"
	"overland/internal/site"
	"overland/internal/store/dir"
	"overland/internal/testkit/bins"
	"overland/internal/testkit/machine"
)

// lab is one folder with everything, which every machine sees at /mnt: the released program, a
// running site, and the configurations of one machine that uploads over HTTPS with a client
// certificate and of others that read.
type lab struct {
	t         *testing.T
	dir, site string
	shelf     *server.Shelf
}

const release = "https://git.example/p/raw/1.0.167/software/hello/software.cfg"

func newLab(t *testing.T) *lab {
	l := &lab{t: t, dir: t.TempDir()}
	l.site = filepath.Join(l.dir, "site")
	must(t, os.Chmod(l.dir, 0o755))
	program, err := builder.Build(t.Context(), bins.Overland, "linux/amd64", "")
	must(t, err)
	must(t, os.Link(program, filepath.Join(l.dir, "overland")))
	// The maker's certificate is as good as any.
	maker := filepath.Join(l.dir, "maker")
	_, err = site.Init(maker)
	must(t, err)
	_, err = site.Init(l.site)
	must(t, err)
	cert, key := filepath.Join(maker, "tls", "cert.pem"), filepath.Join(maker, "tls", "key.pem")
	pem, err := os.ReadFile(cert)
	must(t, err)
	policy, err := json.Marshal(map[string]any{"accounts": []any{map[string]any{"name": "maker", "certificate": string(pem)}}})
	must(t, err)
	l.write("site/netcache/policy.json", string(policy))
	secure, plain := l.serve()

	keyFile := filepath.Join(l.dir, "maker.key")
	public, err := netcache.GenerateEd25519(fsx.FS{}, keyFile, "")
	must(t, err)
	trust := "overland-key-list =" + strings.ReplaceAll("\n"+strings.TrimSpace(string(public)), "\n", "\n  ") + "\n"
	l.write("maker.cfg", fmt.Sprintf("[networkcache]\nupload-binary-cache-url = %s/shacache\ndownload-binary-cache-url = %s/shacache\n"+
		"shacache-ca-file = %[3]s\nshadir-ca-file = %[3]s\nshacache-cert-file = %[4]s\nshacache-key-file = %[5]s\nshadir-cert-file = %[4]s\n"+
		"shadir-key-file = %[5]s\noverland-private-key-file = %[6]s\n", secure, secure, filepath.Join(l.site, "tls", "cert.pem"), cert, key, keyFile)+trust)
	l.write("reader.cfg", fmt.Sprintf("[networkcache]\ndownload-binary-cache-url = %s/shacache\n", plain)+trust)
	l.write("stranger.cfg", strings.ReplaceAll(l.read("maker.cfg"), maker+"/", filepath.Join(l.dir, "stranger")+"/"))
	_, err = site.Init(filepath.Join(l.dir, "stranger"))
	must(t, err)

	depot, err := dir.Open(filepath.Join(l.site, "depot"), dir.Options{})
	must(t, err)
	l.shelf, err = server.Open(filepath.Join(l.site, "netcache"), depot, fsx.FS{})
	must(t, err)
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (l *lab) write(name, text string) {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	must(l.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(l.t, os.WriteFile(path, []byte(text), 0o644))
}

func (l *lab) read(name string) string {
	l.t.Helper()
	b, err := os.ReadFile(filepath.Join(l.dir, name))
	must(l.t, err)
	return string(b)
}

// serve runs the site, and returns where it is spoken to over HTTPS and over plain HTTP.
func (l *lab) serve() (secure, plain string) {
	l.t.Helper()
	cmd := exec.Command(filepath.Join(l.dir, "overland"), "site", "run", l.site, "--listen", "127.0.0.1:0", "--cache-listen", "127.0.0.1:0",
		"--cache-upstream", "npm=http://127.0.0.1:1")
	out, err := cmd.StdoutPipe()
	must(l.t, err)
	said, err := cmd.StderrPipe()
	must(l.t, err)
	must(l.t, cmd.Start())
	first := make(chan string, 1)
	done := make(chan struct{}, 2)
	watch := func(lines *bufio.Scanner, re *regexp.Regexp) {
		for lines.Scan() {
			if m := re.FindStringSubmatch(lines.Text()); m != nil {
				first <- m[1]
			}
		}
		done <- struct{}{}
	}
	go watch(bufio.NewScanner(said), regexp.MustCompile(`^cache: overland cache env (http://\S+)$`))
	plain = <-first
	go watch(bufio.NewScanner(out), regexp.MustCompile(`^(https://127\.0\.0\.1:\d+)`))
	secure = <-first
	l.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-done
		<-done
		if err := cmd.Wait(); err != nil {
			l.t.Errorf("the site: %v", err)
		}
	})
	return secure, plain
}

// here runs a command on this machine, which has a compiler; it must end with exit code want.
func (l *lab) here(want int, env []string, argv ...string) (stdout, stderr string) {
	l.t.Helper()
	cmd := exec.CommandContext(l.t.Context(), argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	return l.run(want, cmd)
}

func (l *lab) run(want int, cmd *exec.Cmd) (stdout, stderr string) {
	l.t.Helper()
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	code, err := 0, cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		must(l.t, err)
	}
	if code != want {
		l.t.Fatalf("%q: exit code %d, want %d\n%s%s", cmd.Args, code, want, &out, &msg)
	}
	return out.String(), msg.String()
}

func (l *lab) overland() string { return filepath.Join(l.dir, "overland") }

// guest is a machine that sees the lab at /mnt and reaches the site.
type guest struct {
	*machine.Machine
	l *lab
}

func (l *lab) machine(root machine.Root, binds map[string]string) guest {
	l.t.Helper()
	binds[l.dir] = "/mnt"
	m, err := machine.Start(l.t.Context(), machine.Options{Name: "guest", Root: root, Binds: binds, HostNetwork: true, Env: []string{"OVERLAND_HOME=/root/home"}})
	must(l.t, err)
	l.t.Cleanup(m.Stop)
	return guest{m, l}
}

func (g guest) sh(want int, argv ...string) (stdout, stderr string) {
	g.l.t.Helper()
	return g.l.run(want, g.Command(g.l.t.Context(), argv...))
}

// bare is a machine with nothing but a static busybox, this machine's libc, and what it says of itself in os-release.
func (l *lab) bare(libc, osRelease string) guest {
	return l.machine(machine.Busybox, map[string]string{
		"/lib64/ld-linux-x86-64.so.2": "/lib64/ld-linux-x86-64.so.2", libc: "/lib/x86_64-linux-gnu/libc.so.6", osRelease: "/etc/os-release",
	})
}

const libcFile = "/lib/x86_64-linux-gnu/libc.so.6"

// Software that was compiled here, with the path of its build in RUNPATH and in a link, runs at another place on a
// machine of the same kind without a compiler; machines of other kinds are told what there is.
func TestSoftwareForMachinesOfOneKind(t *testing.T) {
	l := newLab(t)
	root := filepath.Join(l.dir, "software")
	l.write("hello.c", "const char *hello(void) { return \"hello from a library\"; }\n")
	l.write("main.c", "#include <stdio.h>\nconst char *hello(void);\nint main(void) { puts(hello()); return 0; }\n")
	must(t, os.MkdirAll(filepath.Join(root, "bin"), 0o755))
	must(t, os.MkdirAll(filepath.Join(root, "lib"), 0o755))
	lib := filepath.Join(root, "lib", "libhello.so.1")
	l.here(0, nil, "gcc", "-shared", "-fPIC", "-Wl,-soname,libhello.so.1", "-o", lib, filepath.Join(l.dir, "hello.c"))
	l.here(0, nil, "gcc", "-o", filepath.Join(root, "bin", "hello"), filepath.Join(l.dir, "main.c"), lib, "-Wl,-rpath,"+filepath.Join(root, "lib"))
	must(t, os.Symlink(lib, filepath.Join(root, "lib", "libhello.so")))
	env := []string{"OVERLAND_HOME=" + filepath.Join(l.dir, "home")}
	upload := func(want int, config string) string {
		_, said := l.here(want, env, l.overland(), "binary", "upload", root, "--url", release, "-c", filepath.Join(l.dir, config))
		return said
	}
	if said := upload(1, "stranger.cfg"); !strings.Contains(said, "403") {
		t.Errorf("a stranger: %s", said)
	}
	upload(0, "maker.cfg")
	must(t, os.RemoveAll(root))

	install := []string{"/mnt/overland", "binary", "install", "--url", release, "-c", "/mnt/reader.cfg", "/opt/some/where"}
	same := l.bare(libcFile, "/etc/os-release")
	same.sh(0, install...)
	if out, _ := same.sh(0, "/opt/some/where/bin/hello"); out != "hello from a library\n" {
		t.Errorf("it says %q", out)
	}

	l.write("os-release", "ID=debian\nVERSION_ID=\"13\"\n")
	libc, err := os.ReadFile(libcFile)
	must(t, err)
	older := regexp.MustCompile(`(GNU C Library [^\n]*release version )2\.\d\d`).ReplaceAll(libc, []byte("${1}2.19"))
	if len(older) != len(libc) || bytes.Equal(older, libc) {
		t.Fatal("this libc has no banner to change")
	}
	l.write("libc.so.6", string(older))
	qemu, err := exec.LookPath("qemu-x86_64-static")
	must(t, err)
	for name, test := range map[string]struct {
		g    guest
		with []string
		want string
	}{
		"another release": {l.bare(libcFile, filepath.Join(l.dir, "os-release")), nil, "it is for release 12, this is 13"},
		"an older libc":   {l.bare(filepath.Join(l.dir, "libc.so.6"), "/etc/os-release"), nil, "it needs glibc 2.36, this is \"2.19\""},
		"an older CPU": {l.machine(machine.Busybox, map[string]string{
			"/lib64/ld-linux-x86-64.so.2": "/lib64/ld-linux-x86-64.so.2", libcFile: libcFile, "/etc/os-release": "/etc/os-release", qemu: "/qemu",
		}), []string{"/qemu", "-cpu", "qemu64"}, "it needs a CPU of the level x86-64-v"},
		"an unknown system": {l.machine(machine.Busybox, map[string]string{}), nil, "this machine does not say what its system is"},
	} {
		_, said := test.g.sh(1, append(test.with, install...)...)
		if !strings.Contains(said, test.want) || !strings.Contains(said, "nothing for this machine") || !strings.Contains(said, "hint: ") {
			t.Errorf("%s: %s", name, said)
		}
		test.g.sh(1, "test", "-e", "/opt/some/where")
	}
}

// program is what build --json says of one artifact.
type program struct {
	Name, Digest, Path string
	Cached, Shared     bool
}

func programs(t *testing.T, out string) map[string]program {
	t.Helper()
	var b struct{ Programs []program }
	if err := json.Unmarshal([]byte(out), &b); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	m := map[string]program{}
	for _, p := range b.Programs {
		m[p.Name] = p
	}
	return m
}

// A second machine without Go and without a compiler builds the same commit from what the first one shared; what is
// poisoned is refused there, and built anew where there is a compiler.
func TestResultsForMachinesOfOneKind(t *testing.T) {
	l := newLab(t)
	l.write("app/overland.yaml", "overland: 1\nname: app\nartifacts:\n  native:\n    command: {run: [sh, build.sh], output: out/native}\n"+
		"    platforms: [linux/amd64]\n  static:\n    go: .\n    platforms: [linux/amd64]\n")
	l.write("app/overland.lock", "overland.lock 1\n")
	l.write("app/build.sh", "mkdir -p out && cc -o out/native native.c\n")
	l.write("app/native.c", "#include <stdio.h>\nint main(void) { puts(\"native\"); return 0; }\n")
	l.write("app/go.mod", "module example.org/app\n\ngo 1.26.0\n\ntoolchain go1.26.8\n")
	l.write("app/main.go", "package main\n\nfunc main() { println(\"static\") }\n")
	repo := filepath.Join(l.dir, "app")
	for _, args := range [][]string{
		{"init", "-q"},
		{"add", "-A"},
		{"-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "start"},
		{"remote", "add", "origin", "https://git.example/group/app.git"},
	} {
		l.here(0, nil, append([]string{"git", "-C", repo}, args...)...)
	}
	buildHere := func(home, config string) (map[string]program, string) {
		t.Helper()
		out, said := l.here(0, []string{"OVERLAND_HOME=" + filepath.Join(l.dir, home), "OVERLAND_COMPILED=" + filepath.Join(l.dir, "compiled")},
			l.overland(), "build", repo, "--json", "--network-cache", filepath.Join(l.dir, config))
		return programs(t, out), said
	}
	first, said := buildHere("home1", "maker.cfg")
	if first["native"].Shared || first["static"].Shared || strings.Contains(said, "warning") {
		t.Fatalf("%+v: %s", first, said)
	}

	// The tools are this machine's, without compilers; /usr/local, where Go is, is empty in a machine anyway.
	g := l.machine(machine.Host, map[string]string{})
	g.sh(0, "sh", "-c", "rm -rf /usr/bin/cc /usr/bin/c89* /usr/bin/c99* /usr/bin/*gcc* /usr/bin/*g++* /usr/bin/*cpp* /usr/bin/ld /usr/bin/ld.* /usr/bin/as /usr/lib/gcc /usr/libexec/gcc")
	for _, tool := range []string{"cc", "gcc", "go", "ld", "as"} {
		g.sh(127, "sh", "-c", "command -v "+tool)
	}
	build := func(want int, home string) (map[string]program, string) {
		t.Helper()
		out, said := g.sh(want, "/mnt/overland", "--home", "/root/"+home, "build", "/mnt/app", "--json", "--network-cache", "/mnt/reader.cfg", "--out", "/root/"+home+"-out")
		if want != 0 {
			return nil, said
		}
		return programs(t, out), said
	}
	second, said := build(0, "home2")
	for name, p := range second {
		if !p.Shared || p.Digest != first[name].Digest {
			t.Errorf("%s: %+v, made as %+v: %s", name, p, first[name], said)
		}
		stdout, stderr := g.sh(0, p.Path)
		if stdout+stderr != name+"\n" {
			t.Errorf("%s says %q", name, stdout+stderr)
		}
	}
	if again, _ := build(0, "home2"); !again["native"].Cached || again["native"].Shared {
		t.Errorf("again: %+v", again)
	}

	entries := l.results()
	native, static := entries["native"], entries["static"]
	for _, poison := range []struct {
		name, want string
		do, undo   func()
	}{
		{"a signature that does not hold", "does not hold", func() {
			bad := native
			bad.Metadata = strings.Replace(bad.Metadata, first["native"].Digest[7:20], first["static"].Digest[7:20], 1)
			l.replace(bad)
		}, func() { l.replace(native) }},
		{"the entry of another key", "signed for key", func() {
			bad := static
			bad.Key = native.Key
			l.replace(bad)
		}, func() { l.replace(native) }},
		{"another blob", "the bytes have sha512", func() { l.flip(first["native"].Digest) }, func() { l.flip(first["native"].Digest) }},
	} {
		poison.do()
		home := strings.ReplaceAll(poison.name, " ", "-")
		// The machine of the test is a chroot, in which no build can be confined: none takes place.
		if _, said := build(1, home); !strings.Contains(said, poison.want) || !strings.Contains(said, "is refused and built here") || !strings.Contains(said, "--isolation none") {
			t.Errorf("%s, where nothing can be built: %s", poison.name, said)
		}
		built, said := buildHere(home, "reader.cfg")
		if p := built["native"]; p.Shared || p.Digest != first["native"].Digest || !strings.Contains(said, poison.want) {
			t.Errorf("%s, with a compiler: %+v: %s", poison.name, p, said)
		}
		poison.undo()
	}
	if healed, said := build(0, "healed"); !healed["native"].Shared {
		t.Errorf("after the poison: %+v: %s", healed, said)
	}
}

// results returns the entries of the site's binary cache by the artifact's name.
func (l *lab) results() map[string]server.Record {
	l.t.Helper()
	found := map[string]server.Record{}
	log, _ := l.here(0, nil, l.overland(), "--home", l.site, "netcache", "audit", "--json")
	var events []struct{ Key string }
	must(l.t, json.Unmarshal([]byte(log), &events))
	for _, did := range events {
		if did.Key == "" {
			continue
		}
		list, err := l.shelf.List(did.Key)
		must(l.t, err)
		for _, r := range list {
			var fields struct{ Artifact string }
			must(l.t, json.Unmarshal([]byte(r.Metadata), &fields))
			found[fields.Artifact] = r
		}
	}
	if len(found) != 2 {
		l.t.Fatalf("entries %v of %s", found, log)
	}
	return found
}

// replace makes r the only entry of its key, as whoever owns the site could.
func (l *lab) replace(r server.Record) {
	l.t.Helper()
	err := filepath.WalkDir(filepath.Join(l.site, "netcache", "dir"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "lock" {
			return err
		}
		if b, err := os.ReadFile(path); err != nil || !bytes.Contains(b, []byte(r.Key+`"`)) {
			return err
		}
		return os.Remove(path)
	})
	must(l.t, err)
	must(l.t, l.shelf.Add(l.t.Context(), r))
}

// flip changes a byte of a blob in the site's depot, or changes it back.
func (l *lab) flip(digest string) {
	l.t.Helper()
	path := filepath.Join(l.site, "depot", "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
	b, err := os.ReadFile(path)
	must(l.t, err)
	b[len(b)/2] ^= 1
	must(l.t, os.Chmod(path, 0o644))
	must(l.t, os.WriteFile(path, b, 0o644))
}
