package packages_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"overland/internal/appfile/yamlfile"
	"overland/internal/builder"
	"overland/internal/builder/packages"
	"overland/internal/deb"
	"overland/internal/errs"
	"overland/internal/platform"
	"overland/internal/source"
	storedir "overland/internal/store/dir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is a Builder of a program that says its commit and platform.
type program struct{}

func (program) Recipe(_ context.Context, j builder.Job) (builder.Recipe, error) {
	return builder.Recipe{Builder: "program/1", Toolchain: "none", Settings: j.Name}, nil
}

func (program) Build(_ context.Context, j builder.Job, r builder.Recipe, _, scratch string) (builder.Output, error) {
	file := filepath.Join(scratch, "it")
	text := "#!/bin/sh\necho " + string(j.Platform) + " " + j.Commit.Version + "\n"
	return builder.Output{File: file, Toolchain: r.Toolchain}, os.WriteFile(file, []byte(text), 0o600)
}

// bench is a repository, and a depot for what is made of it.
type bench struct {
	t         *testing.T
	dir, repo string
	depot     *storedir.Store
}

func newBench(t *testing.T, files map[string]string) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), repo: t.TempDir()}
	var err error
	b.depot, err = storedir.Open(filepath.Join(b.dir, "depot"), storedir.Options{Reserve: -1})
	b.must(err)
	b.git("init", "-q", "-b", "main")
	b.commit(files)
	return b
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) git(args ...string) {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), "git", append([]string{"-C", b.repo, "-c", "user.name=a", "-c", "user.email=a@localhost"}, args...)...)
	cmd.Env = append(cmd.Environ(), "GIT_COMMITTER_DATE=2026-03-01T12:00:00Z", "GIT_AUTHOR_DATE=2026-03-01T12:00:00Z")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func (b *bench) commit(files map[string]string) {
	b.t.Helper()
	for name, text := range files {
		path := filepath.Join(b.repo, name)
		b.must(os.MkdirAll(filepath.Dir(path), 0o755))
		if to, link := strings.CutPrefix(text, "-> "); link {
			b.must(os.Symlink(to, path))
		} else {
			b.must(os.WriteFile(path, []byte(text), 0o600))
		}
	}
	b.git("add", "-A")
	b.git("commit", "-q", "--allow-empty", "-m", "x")
}

// build builds the artifact wallet-deb, of which text says what stands under package, for platforms.
func (b *bench) build(text string, platforms ...platform.Platform) ([]builder.Built, error) {
	b.t.Helper()
	whole := "overland: 1\nname: app\nartifacts:\n  wallet: {program: x}\n  wallet-deb:\n    package:\n      format: deb\n" +
		"      maintainer: Wallet Makers <wallet@localhost>\n      description: a wallet\n" + text
	key := yamlfile.Builder{Key: "program", Read: func(*yamlfile.Decoder, yamlfile.Node) any { return "" }}
	app, err := yamlfile.Format{Builders: []yamlfile.Builder{key, packages.Keys()}, Runtimes: []yamlfile.Runtime{{Name: "process"}}}.Parse([]byte(whole), "f.yaml")
	if err != nil {
		return nil, err
	}
	repo, err := source.Open(b.t.Context(), b.repo)
	b.must(err)
	c, err := repo.Resolve(b.t.Context(), "")
	b.must(err)
	return builder.Run(b.t.Context(), b.depot, builder.Request{
		Repo: repo, Commit: c, App: app, Artifacts: []string{"wallet-deb"}, Platforms: platforms, Cache: filepath.Join(b.dir, "cache"), Rebuild: true,
		Builders: map[string]builder.Builder{"program": program{}, packages.Key: packages.New(b.depot)},
	})
}

// file builds for amd64, and returns the file of the package, in the folder dir.
func (b *bench) file(text, dir string) string {
	b.t.Helper()
	built, err := b.build(text, "linux/amd64")
	b.must(err)
	f, err := b.depot.Open(b.t.Context(), built[0].Digest)
	b.must(err)
	defer f.Close()
	all, err := io.ReadAll(f)
	b.must(err)
	path := filepath.Join(dir, built[0].File)
	b.must(os.WriteFile(path, all, 0o600))
	return path
}

// run runs a tool, and returns what it printed.
func (b *bench) run(name string, args ...string) string {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), name, args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

const whole = `      depends: [libc6, "ca-certificates | sugar (>= 1)"]
      license: ./LICENSE
      homepage: https://wallet.invalid/
      files:
        /usr/bin/wallet: wallet
        /usr/lib/wallet/help: {artifact: wallet, mode: "4755"}
        /usr/share/wallet: ./share
        /etc/wallet/wallet.conf: {path: ./deploy/wallet.conf, mode: "0640", owner: root:wallet}
      users: {wallet: /var/lib/wallet}
      services:
        wallet: {exec: [/usr/bin/wallet, --data, /var/lib/wallet, "50% of $HOME"], user: wallet, env: {A: two words}}
        other: ./deploy/other.service
`

var files = map[string]string{
	"deploy/wallet.conf": "port=1\n", "deploy/other.service": "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n", "LICENSE": "free\n",
	"share/a": "text", "share/b": "-> a",
}

// dpkg-deb has the last word on what a package is.
func TestAPackageIsWhatWasAskedFor(t *testing.T) {
	b := newBench(t, files)
	at := b.file(whole, t.TempDir())
	hash := strings.TrimSpace(b.run("git", "-C", b.repo, "rev-parse", "HEAD"))
	version := "0+r1." + hash[:12]
	if got, want := filepath.Base(at), "wallet_"+version+"_amd64.deb"; got != want {
		t.Errorf("it is called %s, not %s", got, want)
	}
	info := b.run("dpkg-deb", "-f", at)
	want := "Package: wallet\nVersion: " + version + "\nArchitecture: amd64\nMaintainer: Wallet Makers <wallet@localhost>\n" +
		"Depends: libc6, ca-certificates | sugar (>= 1), adduser\nSection: misc\nPriority: optional\nHomepage: https://wallet.invalid/\nInstalled-Size: 24\nDescription: a wallet\n"
	if info != want {
		t.Errorf("control:\n%s", info)
	}
	var list strings.Builder
	for line := range strings.Lines(b.run("dpkg-deb", "-c", at)) {
		f := strings.Fields(line)
		list.WriteString(f[0] + " " + f[1] + " " + strings.Join(f[5:], " ") + "\n")
		if f[3]+" "+f[4] != "2026-03-01 12:00" {
			t.Errorf("its time: %s", line)
		}
	}
	want = `drwxr-xr-x root/root ./
drwxr-xr-x root/root ./etc/
drwxr-xr-x root/root ./etc/wallet/
-rw-r----- root/root ./etc/wallet/wallet.conf
drwxr-xr-x root/root ./usr/
drwxr-xr-x root/root ./usr/bin/
-rwxr-xr-x root/root ./usr/bin/wallet
drwxr-xr-x root/root ./usr/lib/
drwxr-xr-x root/root ./usr/lib/systemd/
drwxr-xr-x root/root ./usr/lib/systemd/system/
-rw-r--r-- root/root ./usr/lib/systemd/system/other.service
-rw-r--r-- root/root ./usr/lib/systemd/system/wallet.service
drwxr-xr-x root/root ./usr/lib/wallet/
-rwsr-xr-x root/root ./usr/lib/wallet/help
drwxr-xr-x root/root ./usr/share/
drwxr-xr-x root/root ./usr/share/doc/
drwxr-xr-x root/root ./usr/share/doc/wallet/
-rw-r--r-- root/root ./usr/share/doc/wallet/changelog.gz
-rw-r--r-- root/root ./usr/share/doc/wallet/copyright
drwxr-xr-x root/root ./usr/share/wallet/
-rw-r--r-- root/root ./usr/share/wallet/a
lrwxrwxrwx root/root ./usr/share/wallet/b -> a
drwxr-xr-x root/root ./var/
drwxr-xr-x root/root ./var/lib/
drwxr-x--- root/root ./var/lib/wallet/
`
	if list.String() != want {
		t.Errorf("files:\n%s", list.String())
	}
	root := t.TempDir()
	b.run("dpkg-deb", "--raw-extract", at, root)
	for name, want := range map[string]string{
		"DEBIAN/conffiles": "/etc/wallet/wallet.conf\n", "usr/bin/wallet": "#!/bin/sh\necho linux/amd64 r1." + hash[:12] + "\n", "usr/share/doc/wallet/copyright": "free\n",
		"usr/lib/systemd/system/other.service": files["deploy/other.service"],
	} {
		if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	unit, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system/wallet.service"))
	if err != nil || !strings.Contains(string(unit), "\nExecStart=/usr/bin/wallet --data /var/lib/wallet \"50%% of $$HOME\"\nEnvironment=\"A=two words\"\nUser=wallet\n") {
		t.Errorf("unit: %s, %v", unit, err)
	}
	b.run("sh", "-c", `cd "$0" && md5sum --quiet -c DEBIAN/md5sums`, root)
}

// Another site, folder, time zone and umask give the same bytes; so does a reader of our own.
func TestElsewhereItIsTheSame(t *testing.T) {
	one := newBench(t, files)
	a, err := os.ReadFile(one.file(whole, t.TempDir()))
	one.must(err)
	defer syscall.Umask(syscall.Umask(0o077))
	t.Setenv("TZ", "Asia/Kathmandu")
	two := newBench(t, files)
	again, err := os.ReadFile(two.file(whole, t.TempDir()))
	two.must(err)
	if !bytes.Equal(a, again) {
		t.Error("the packages differ")
	}
	var control []string
	err = deb.ReadArchive(bytes.NewReader(a), deb.Contents{Control: func(name string, _ io.Reader) error { control = append(control, name); return nil }})
	if err != nil || strings.Join(control, " ") != "conffiles control md5sums postinst postrm prerm" {
		t.Errorf("%v, %v", control, err)
	}
}

// There is a package for each architecture that Debian has, and none is taken for another's.
func TestArchitectures(t *testing.T) {
	b := newBench(t, files)
	built, err := b.build("      files: {/usr/bin/wallet: wallet}\n")
	b.must(err)
	var got []string
	for _, one := range built {
		_, arch, _ := strings.Cut(strings.TrimSuffix(one.File, ".deb"), "+r1.")
		_, arch, _ = strings.Cut(arch, "_")
		got = append(got, string(one.Platform)+" "+arch)
	}
	if strings.Join(got, ", ") != "linux/amd64 amd64, linux/arm/v5 armel, linux/arm/v7 armhf, linux/arm64 arm64" {
		t.Errorf("%v", got)
	}
	_, err = b.build("      files: {/usr/bin/wallet: wallet}\n    platforms: [linux/arm/v6]\n")
	if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "no architecture for linux/arm/v6") || !strings.Contains(errs.HintOf(err), "linux/arm/v5") {
		t.Errorf("v6: %v, %s", err, errs.HintOf(err))
	}
}

func TestWhatIsRefused(t *testing.T) {
	b := newBench(t, map[string]string{"etc/x": "x", "away": "-> etc/x"})
	const fine = "files: {/x: wallet}"
	for _, c := range []struct{ text, want string }{
		{"files: {/usr/bin/x: ./nothing}", "./nothing: it is not in the commit"},
		{"files: {/usr/bin/x: ./../x}", "leaves the repository"},
		{"files: {/usr/bin/../x: wallet}", "not a clean path"},
		{"files: {'/usr/bin/$(x)': wallet}", "written like /usr/bin/wallet"},
		{"files: {/usr/bin/x: nothing}", "is made of \"nothing\", which is not there"},
		{"files: {/usr/bin: wallet, /usr/bin/x: wallet}", "\"usr/bin\", above it, is not a folder"},
		{"files: {/usr/bin/x: {artifact: wallet, path: ./etc/x}}", "one of artifact and path"},
		{"files: {/etc/x: {path: ./etc, owner: root:wallet}}", "an owner, and it is not one file"},
		{fine + "\nlicense: ./away", "./away: it is not one file"},
		{fine + "\nlicense: ./../x", "leaves the repository"},
		{fine + "\ndepends: ['a, b']", "depends: \"a, b\""},
		{fine + "\ndepends: [\"a\\nEvil: yes\"]", "depends: "},
		{fine + "\nhomepage: \"https://a\\nEvil: yes\"", "homepage "},
		{fine + "\nusers: {a: relative}", "users: a: folder \"relative\""},
		{fine + "\nusers: {a: '/x;id'}", "users: a: folder"},
		{fine + "\nservices: {s: {exec: [x]}}", "not an absolute path"},
		{fine + "\nservices: {s: {exec: [/x], user: y}}", "no user y"},
		{fine + "\nservices: {s: {user: y}}", "one of unit and exec"},
		{fine + "\nservices: {s: ./away}", "./away: it is not one file"},
		{fine + "\nname: a_b", "name \"a_b\""},
	} {
		text := "      " + strings.ReplaceAll(c.text, "\n", "\n      ") + "\n"
		_, err := b.build(text, "linux/amd64")
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v: %v", c.text, errs.KindOf(err), err)
		}
	}
}
