package rootfs_test

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"overland/internal/builder/rootfs"
	"overland/internal/ecosystem/apk"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/platform"
	"overland/internal/testkit/pack"
	"overland/internal/testkit/recording"
)

// alpineKey is made once: that takes long.
var alpineKey = sync.OnceValue(func() *rsa.PrivateKey {
	const bits = 2048
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
})

// alpineArchive is Alpine as the test makes it: alpine/calm, with main and community.
type alpineArchive struct {
	archive
	*pack.Alpine
	apk     string            // a folder like /etc/apk
	records map[string]string // of REPOSITORY/ARCH
	evil    string            // what the next evil package is called
}

var alpineArchs = []string{"x86_64", "armhf"}

func newAlpineArchive(t *testing.T) *alpineArchive {
	t.Helper()
	a := &alpineArchive{archive: archive{t: t, store: recording.Store(t)}, Alpine: pack.NewAlpine(t, alpineKey()), apk: t.TempDir(), records: map[string]string{}}
	a.files = map[string][]byte{}
	srv := httptest.NewServer(a.Alpine)
	t.Cleanup(srv.Close)
	if err := os.Mkdir(filepath.Join(a.apk, "keys"), 0o755); err != nil {
		t.Fatal(err)
	}
	a.Trust(t, filepath.Join(a.apk, "keys"))
	repositories := fmt.Sprintf("%s/calm/alpine/calm/main\n%s/calm/alpine/calm/community\n", srv.URL, srv.URL)
	if err := os.WriteFile(filepath.Join(a.apk, "repositories"), []byte(repositories), 0o644); err != nil {
		t.Fatal(err)
	}
	// Packing takes most of the time of a test.
	alpineBase.Do(func() {
		for _, arch := range alpineArchs {
			a.base(arch)
		}
		alpineBase.files, alpineBase.records = a.files, a.records
	})
	a.files, a.records = map[string][]byte{}, maps.Clone(alpineBase.records)
	for name, b := range alpineBase.files {
		a.Put(name, b)
	}
	return a
}

// alpineBase is what every archive has.
var alpineBase struct {
	sync.Once
	files   map[string][]byte
	records map[string]string
}

// base adds what every root file system has.
func (a *alpineArchive) base(arch string) {
	dirs := func(names ...string) (list []pack.DebEntry) {
		for _, name := range names {
			list = append(list, pack.DebEntry{Name: name + "/"})
		}
		return list
	}
	a.add("main", arch, "pkgname = alpine-baselayout\npkgver = 3.6-r0\norigin = alpine-baselayout\ndepend = alpine-baselayout-data=3.6-r0\ndepend = /bin/sh\n",
		map[string]string{"pre-install": "#!/bin/sh\naddgroup shadow\n", "post-install": "#!/bin/sh\nchown root:shadow etc/shadow\n", "post-upgrade": "#!/bin/sh\nmake-tea\n"},
		append(dirs("bin", "etc", "etc/apk", "lib", "usr", "usr/bin", "sbin"),
			pack.DebEntry{Name: "tmp/", Header: tar.Header{Mode: 0o1777}},
			pack.DebEntry{Name: "var/"}, pack.DebEntry{Name: "var/empty/.keep_x"}, pack.DebEntry{Name: "var/run", Header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "../run"}})...)
	a.add("main", arch, "pkgname = alpine-baselayout-data\npkgver = 3.6-r0\norigin = alpine-baselayout\n", nil, append(dirs("etc"),
		pack.DebEntry{Name: "etc/passwd", Text: "root:x:0:0:root:/root:/bin/sh\nbrewer:x:77:77::/:/bin/sh\n"},
		pack.DebEntry{Name: "etc/group", Text: "root:x:0:root\nshadow:x:42:\nbrewer:x:78:\n"},
		pack.DebEntry{Name: "etc/shadow", Text: "root:*::0:::::\n", Header: tar.Header{Mode: 0o640}})...)
	a.add("main", arch, "pkgname = alpine-release\npkgver = 3.22.1-r0\norigin = alpine-base\ndepend = alpine-keys\n", nil,
		append(dirs("etc", "usr", "usr/lib"), pack.DebEntry{Name: "usr/lib/os-release", Text: "ID=alpine\nVERSION_ID=3.22.1\n"})...)
	a.add("main", arch, "pkgname = alpine-keys\npkgver = 2.5-r0\n", nil)
	a.add("main", arch, "pkgname = musl\npkgver = 1.2.5-r10\nprovides = so:libc.musl.so.1=1\n", nil, append(dirs("lib"), pack.DebEntry{Name: "lib/libc.so", Text: "musl for " + arch, Header: tar.Header{Mode: 0o755}})...)
	a.add("main", arch, "pkgname = busybox\npkgver = 1.37.0-r18\ndepend = so:libc.musl.so.1\ntriggers = /bin /usr/bin /lib/modules/*\n",
		map[string]string{"post-install": "#!/bin/busybox sh\nbusybox --install -s\n", "trigger": "#!/bin/busybox sh\nbusybox --install -s\n"},
		append(dirs("bin", "etc", "etc/busybox-paths.d"), pack.DebEntry{Name: "bin/busybox", Text: "busybox for " + arch, Header: tar.Header{Mode: 0o755}},
			pack.DebEntry{Name: "etc/busybox-paths.d/busybox", Text: "bin/cat\n/usr/bin/awk\nnowhere/x\nbin/busybox\n"})...)
}

// add publishes a package in main or community for arch.
func (a *alpineArchive) add(repository, arch, info string, scripts map[string]string, entries ...pack.DebEntry) {
	a.t.Helper()
	fields := strings.Fields(info)
	info = fmt.Sprintf("%spkgdesc = a package\nurl = none\nlicense = MIT\nsize = 4096\narch = %s\nbuilddate = %d\n", info, arch, pack.AlpineBirth.Unix())
	b, line := pack.APKWith(a.t, a.Key, info, scripts, entries...)
	at := repository + "/" + arch
	name := fmt.Sprintf("alpine/calm/%s/%s-%s.apk", at, fields[2], fields[5])
	a.Put(name, b)
	a.files[name] = b
	a.records[at] += line
}

// publish writes the indexes, made on a day.
func (a *alpineArchive) publish(day time.Time) {
	a.t.Helper()
	for _, repository := range []string{"main", "community"} {
		for _, arch := range alpineArchs {
			at := repository + "/" + arch
			a.Put("alpine/calm/"+at+"/APKINDEX.tar.gz", pack.AlpineSign(a.t, a.Key, "RSA256", pack.AlpineKey, a.Unsigned(a.t, day, a.records[at])))
		}
	}
}

func (a *alpineArchive) recorded(root rootfs.Root, p platform.Platform) ([]byte, *lockfile.Lock, error) {
	a.t.Helper()
	list, err := apk.MachineRepositories(a.apk)
	if err != nil {
		a.t.Fatal(err)
	}
	protocol, err := apk.New(list, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	// The test's server has everything below /calm/, so that is a part of the names.
	return a.through(protocol, rootfs.Options{Apk: a.apk}, root, p)
}

// kettle adds a program with what apk knows: a capability, a user, files of two packages, what comes by itself.
func (a *alpineArchive) kettle() {
	for _, arch := range alpineArchs {
		a.add("community", arch, "pkgname = kettle\npkgver = 2.0-r1\norigin = kettle\ndepend = so:libc.musl.so.1\nprovides = cmd:kettle=2.0-r1\nreplaces = busybox<2\nreplaces_priority = 5\n",
			map[string]string{"pre-deinstall": "#!/bin/sh\nmake-tea\n"},
			pack.DebEntry{Name: "bin/"}, pack.DebEntry{Name: "etc/"}, pack.DebEntry{Name: "etc/busybox-paths.d/"},
			pack.DebEntry{Name: "bin/cup", Text: "kettle", Header: tar.Header{Mode: 0o755, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": kettleCapability}}},
			pack.DebEntry{Name: "bin/kettle", Header: tar.Header{Typeflag: tar.TypeLink, Linkname: "bin/cup", Mode: 0o755}},
			pack.DebEntry{Name: "etc/kettle", Text: "hot\n", Header: tar.Header{Mode: 0o640, Uid: 5, Gid: 5, Uname: "brewer", Gname: "brewer"}},
			pack.DebEntry{Name: "etc/busybox-paths.d/busybox", Text: "bin/cat\nbin/cup\n"})
		a.add("community", arch, "pkgname = kettle-conf\npkgver = 2.0-r1\norigin = kettle\ninstall_if = kettle=2.0-r1 musl\n", nil, pack.DebEntry{Name: "etc/"}, pack.DebEntry{Name: "etc/kettle.conf", Text: "x"})
		a.add("main", arch, "pkgname = idle\npkgver = 1-r0\ntriggers = /usr/share/none\n", map[string]string{"trigger": "#!/bin/sh\nmake-tea\n", "post-install": "#!/bin/sh\n# nothing\nexit 0\n"})
	}
}

// kettleCapability is cap_net_raw, permitted and in effect.
const kettleCapability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

const calmBase = "calm-alpine/calm"

func TestARootOfAlpine(t *testing.T) {
	a := newAlpineArchive(t)
	a.kettle()
	a.publish(pack.AlpineBirth)
	root := rootfs.Root{From: calmBase, Packages: []string{"busybox", "kettle~2@community", "idle>=1-r0"}, Exclude: []string{"water"}}
	first, lock, err := a.recorded(root, "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(a.notes, "\n"); !strings.Contains(notes, "alpine-baselayout is left without /bin/sh") || !strings.Contains(notes, "alpine-release is left without alpine-keys") {
		t.Errorf("cuts: %s", notes)
	}
	got := listed(t, first)
	for _, line := range []string{
		"0 0755 0:0 bin/busybox busybox for x86_64", "2 0777 0:0 bin/cat -> /bin/busybox ", "0 0755 0:0 lib/libc.so musl for x86_64", "5 1777 0:0 tmp/ ",
		"0 0640 0:42 etc/shadow root:*::0:::::", "0 0640 77:78 etc/kettle hot", "0 0755 0:0 bin/cup kettle", "1 0755 0:0 bin/kettle -> bin/cup ",
		"0 0644 0:0 usr/lib/os-release ID=alpine\nVERSION_ID=3.22.1", "2 0777 0:0 var/run -> ../run ", "0 0644 0:0 etc/kettle.conf x", "0 0644 0:0 etc/apk/arch x86_64",
		"0 0644 0:0 etc/apk/world alpine-baselayout\nalpine-release\nbusybox\nidle>=1-r0\nkettle~2\n!water",
	} {
		if !strings.Contains("\n"+got, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
	for _, not := range []string{"nowhere", ".keep_", "usr/bin/awk", "lib/modules"} {
		if strings.Contains(got, not+" ") {
			t.Errorf("it has %s", not)
		}
	}
	if h := entryOf(t, first, "bin/cup"); h.PAXRecords["SCHILY.xattr.security.capability"] != kettleCapability {
		t.Errorf("bin/cup: %q", h.PAXRecords)
	}
	if t.Failed() {
		t.Log(got)
	}
	a.database(first)

	for _, arch := range alpineArchs { // the archive is gone
		a.Put("alpine/calm/main/"+arch+"/APKINDEX.tar.gz", nil)
	}
	second, err := a.again(root, "linux/amd64", lock)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("from the lock it is another one:\n%s", listed(t, second))
	}
	if _, err := a.again(root, "linux/arm/v6", lock); errs.KindOf(err) != errs.Invalid || !strings.Contains(errs.HintOf(err), "overland record") {
		t.Errorf("a platform that was not recorded: %v", err)
	}
	if _, err := a.again(root, "linux/arm/v5", lock); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "Alpine is not built for linux/arm/v5") {
		t.Errorf("a platform that Alpine lacks: %v", err)
	}
	root.Updates = "none"
	if _, err := a.again(root, "linux/amd64", lock); err == nil || !strings.Contains(err.Error(), "no state as it was released") {
		t.Errorf("without updates: %v", err)
	}
	root = rootfs.Root{From: calmBase, Packages: []string{"water"}}
	if _, err := a.again(root, "linux/amd64", lock); err == nil || !strings.Contains(err.Error(), "no repository has a package water") {
		t.Errorf("a package that was not recorded: %v", err)
	}
}

func entryOf(t *testing.T, b []byte, name string) *tar.Header {
	t.Helper()
	h, _ := fileOf(t, b, name)
	return h
}

// fileOf returns an entry of a tar, and its bytes.
func fileOf(t *testing.T, b []byte, name string) (*tar.Header, []byte) {
	t.Helper()
	for h, text := range members(t, b) {
		if h.Name == name {
			return h, text
		}
	}
	t.Fatalf("no %s", name)
	return nil, nil
}

// sums are what differs with the compressor of packages: checksums of control files, and sizes.
var sums = regexp.MustCompile(`(?m)^C:Q1.*$|^S:[0-9]+$|Q1[A-Za-z0-9+/]{27}=( /|\.)`)

// database compares what apk keeps of the packages with what apk 2.14.10 wrote when it installed them: testdata/installed and others.
func (a *alpineArchive) database(b []byte) {
	a.t.Helper()
	for _, name := range []string{"installed", "triggers", "scripts.tar"} {
		_, text := fileOf(a.t, b, "lib/apk/db/"+name)
		if name == "scripts.tar" {
			text = []byte(scriptsOf(a.t, text))
		}
		got := sums.ReplaceAllString(string(text), "SUM$1")
		want, err := os.ReadFile(filepath.Join("testdata", "alpine", name))
		if err != nil {
			a.t.Fatal(err)
		}
		if got != string(want) {
			a.t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

func scriptsOf(t *testing.T, b []byte) string {
	t.Helper()
	var out strings.Builder
	for h, text := range members(t, b) {
		fmt.Fprintf(&out, "%s %o %s %s %d\n%s\n", h.Name, h.Mode, h.Uname, h.Gname, h.ModTime.Unix(), text)
	}
	return out.String()
}

// TestWhatIsRefusedOfAlpine changes the archive in one way each.
func TestWhatIsRefusedOfAlpine(t *testing.T) {
	evil := func(e ...pack.DebEntry) func(*alpineArchive) {
		return func(a *alpineArchive) { a.add("main", "x86_64", "pkgname = "+a.evil+"\npkgver = 1-r0\n", nil, e...) }
	}
	entry := func(name string, kind byte, to string) func(*alpineArchive) {
		return evil(pack.DebEntry{Name: name, Header: tar.Header{Typeflag: kind, Linkname: to}})
	}
	script := func(name, text, more string) func(*alpineArchive) {
		return func(a *alpineArchive) {
			a.add("main", "x86_64", "pkgname = "+a.evil+"\npkgver = 1-r0\n"+more, map[string]string{name: text})
		}
	}
	nothing := entry("x", tar.TypeReg, "")
	tests := map[string]struct {
		change func(*alpineArchive)
		after  func(*alpineArchive) // once it is published
		root   rootfs.Root
		kind   errs.Kind
		want   string
	}{
		"a climbing name":  {change: entry("usr/../../etc/passwd", tar.TypeReg, ""), kind: errs.Untrusted, want: "not a name of a file below the root"},
		"climbing at once": {change: entry("../etc/passwd", tar.TypeReg, ""), kind: errs.Untrusted, want: "not a name of a file below the root"},
		"an absolute name": {change: entry("/etc/passwd", tar.TypeReg, ""), kind: errs.Untrusted, want: "not a name of a file below the root"},
		"a device":         {change: entry("dev/sda", tar.TypeBlock, ""), kind: errs.Untrusted, want: "neither file, folder nor link"},
		"a pipe":           {change: entry("dev/log", tar.TypeFifo, ""), kind: errs.Untrusted, want: "neither file, folder nor link"},
		"a link upwards":   {change: entry("x", tar.TypeLink, "../../etc/passwd"), kind: errs.Untrusted, want: "not a name of a file below the root"},
		"another's file":   {change: entry("x", tar.TypeLink, "etc/passwd"), kind: errs.Untrusted, want: "not a file of its package"},
		"below a link":     {change: evil(pack.DebEntry{Name: "srv", Header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "/etc"}}, pack.DebEntry{Name: "srv/x"}), kind: errs.Untrusted, want: "lies below srv"},
		"twice":            {change: evil(pack.DebEntry{Name: "x"}, pack.DebEntry{Name: "./x"}), kind: errs.Untrusted, want: "x is there twice"},
		"the root":         {change: evil(pack.DebEntry{Name: "./."}, pack.DebEntry{Name: "etc/passwd"}), kind: errs.Invalid, want: "etc/passwd"},
		"a conflict":       {change: evil(pack.DebEntry{Name: "etc/passwd"}), kind: errs.Invalid, want: "alpine-baselayout-data and evil both have etc/passwd"},
		"a file as folder": {change: evil(pack.DebEntry{Name: "etc"}), kind: errs.Invalid, want: "both have etc"},
		"a great user":     {change: evil(pack.DebEntry{Name: "x", Header: tar.Header{Uid: 1 << 21}}), kind: errs.Untrusted, want: "of user 2097152"},
		"a wrong checksum": {change: evil(pack.DebEntry{Name: "x", Text: "x", Header: tar.Header{PAXRecords: map[string]string{"APK-TOOLS.checksum.SHA1": strings.Repeat("0", 40)}}}), kind: errs.Untrusted, want: "x is not what its checksum says"},
		"a script":         {change: script("pre-install", "#!/bin/sh\nmake-tea\n", ""), kind: errs.Invalid, want: "evil has a script (pre-install) that is not known"},
		"a trigger":        {change: script("trigger", "#!/bin/sh\nmake-tea\n", "triggers = /usr/share/none /usr/b*\n"), kind: errs.Invalid, want: "evil has a script (trigger, for /usr/bin) that is not known"},
		"no list of links": {change: func(a *alpineArchive) {
			a.add("main", "x86_64", "pkgname = evil\npkgver = 1-r0\nprovides = busybox=9\n", nil)
			a.add("main", "x86_64", "pkgname = busybox\npkgver = 2-r0\n", nil)
		}, root: rootfs.Root{Packages: []string{"busybox=2-r0"}}, kind: errs.Invalid, want: "not known which links it makes"},
		"a swapped package": {change: nothing, after: func(a *alpineArchive) {
			b := a.Get("alpine/calm/main/x86_64/evil-1-r0.apk")
			b[len(b)-30] ^= 1
			a.Put("alpine/calm/main/x86_64/evil-1-r0.apk", b)
		}, kind: errs.Unavailable, want: "evil-1-r0.apk"},
		"another package": {change: nothing, after: func(a *alpineArchive) {
			a.Put("alpine/calm/main/x86_64/evil-1-r0.apk", a.Get("alpine/calm/main/x86_64/musl-1.2.5-r10.apk"))
		}, kind: errs.Unavailable, want: "evil-1-r0.apk"},
		"another's key": {change: nothing, after: func(a *alpineArchive) {
			other, err := rsa.GenerateKey(rand.Reader, 1024)
			if err != nil {
				a.t.Fatal(err)
			}
			a.Put("alpine/calm/main/x86_64/APKINDEX.tar.gz", pack.AlpineSign(a.t, other, "RSA", pack.AlpineKey, a.Unsigned(a.t, pack.AlpineBirth, a.records["main/x86_64"])))
		}, kind: errs.Unavailable, want: "calm-alpine-calm-main"},
		"no signature": {change: nothing, after: func(a *alpineArchive) {
			a.Put("alpine/calm/main/x86_64/APKINDEX.tar.gz", a.Unsigned(a.t, pack.AlpineBirth, a.records["main/x86_64"]))
		}, kind: errs.Unavailable, want: "calm-alpine-calm-main"},
		"no such branch": {change: nothing, root: rootfs.Root{From: "calm-alpine/v9", Packages: []string{"evil"}}, kind: errs.Invalid, want: "calm-alpine-v9-main: no line of /etc/apk/repositories"},
		"nobody has it":  {change: nothing, root: rootfs.Root{Packages: []string{"nothing"}}, kind: errs.Invalid, want: "no repository has a package nothing for x86_64"},
		"not there":      {change: (*alpineArchive).kettle, root: rootfs.Root{Packages: []string{"musl@community"}}, kind: errs.Invalid, want: "musl is not in the repository calm-alpine-calm-community"},
	}
	names := slices.Sorted(maps.Keys(tests))
	shared := newAlpineArchive(t)
	for i, name := range names {
		if shared.evil = fmt.Sprint("evil", i); tests[name].after == nil {
			tests[name].change(shared)
		}
	}
	shared.publish(pack.AlpineBirth)
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			test, a := tests[name], shared
			evil := fmt.Sprint("evil", i)
			if test.after != nil {
				a, evil = newAlpineArchive(t), "evil"
				a.evil = evil
				test.change(a)
				a.publish(pack.AlpineBirth)
				test.after(a)
			}
			a.t = t
			root := test.root
			if root.From == "" {
				root.From = calmBase
			}
			if root.Packages == nil {
				root.Packages = []string{evil}
			}
			_, _, err := a.recorded(root, "linux/amd64")
			if want := strings.Replace(test.want, "evil", evil, 1); err == nil || errs.KindOf(err) != test.kind || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %v; want %s", errs.KindOf(err), err, want)
			}
		})
	}
}

// TestWhatIsAllowedOfAlpine: circles, scripts that somebody can do without, and files that two packages have.
func TestWhatIsAllowedOfAlpine(t *testing.T) {
	a := newAlpineArchive(t)
	a.kettle()
	a.add("main", "armhf", "pkgname = scripted\npkgver = 1-r0\ndepend = circle\ntriggers = /bin\n", map[string]string{"post-install": "make-tea", "trigger": "make-tea"})
	a.add("main", "armhf", "pkgname = circle\npkgver = 1-r0\ndepend = scripted\n", nil)
	for _, p := range []struct{ name, more, file string }{
		{"file1", "origin = files\n", "one"}, {"file2", "origin = files\n", "one"}, // of one origin: the later one
		{"file3", "replaces = file4\nreplaces_priority = 9\n", "two"}, {"file4", "replaces = file3\nreplaces_priority = 8\n", "two"}, // the higher priority
		{"file5", "replaces = file6\n", "three"}, {"file6", "replaces = file5\n", "three"}, // the same one: the later one
	} {
		a.add("main", "armhf", "pkgname = "+p.name+"\npkgver = 1-r0\n"+p.more, nil, pack.DebEntry{Name: "etc/"}, pack.DebEntry{Name: "etc/" + p.file, Text: p.name})
	}
	a.publish(pack.AlpineBirth)
	wishes := []string{"scripted", "busybox", "file1", "file2", "file3", "file4", "file5", "file6"}
	b, _, err := a.recorded(rootfs.Root{From: calmBase, Packages: wishes, SkipScripts: []string{"scripted", "busybox"}}, "linux/arm/v6")
	if err != nil {
		t.Fatal(err)
	}
	got := listed(t, b)
	for _, line := range []string{"bin/busybox busybox for armhf", "etc/one file2", "etc/two file3", "etc/three file6"} {
		if !strings.Contains(got, " "+line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	for _, line := range []string{"R:one\n", "R:two\n", "R:three\n"} {
		if strings.Count(got, line) != 1 {
			t.Errorf("%q, %d times in the database", line, strings.Count(got, line))
		}
	}
	if strings.Contains(got, "bin/cat ->") || t.Failed() {
		t.Error(got)
	}
}

// TestADepotThatChanged: a package that is as good as the one that is locked, but another one, is refused.
func TestADepotThatChanged(t *testing.T) {
	a := newAlpineArchive(t)
	a.publish(pack.AlpineBirth)
	root := rootfs.Root{From: calmBase, Packages: []string{"musl"}}
	_, lock, err := a.recorded(root, "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range lock.Entries {
		if !strings.Contains(e.Key, "/musl-") {
			continue
		}
		file := filepath.Join(a.store.Dir(), "blobs", "sha256", e.Blob.Encoded())
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, pack.AlpineSign(t, a.Key, "RSA", "other.rsa.pub", b), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.again(root, "linux/amd64", lock); errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), "its sha256 is") {
		t.Error(err)
	}
	for i, e := range lock.Entries { // a lock that says that one package is another
		if strings.Contains(e.Key, "/alpine-release-") {
			lock.Entries[i].Key = strings.Replace(e.Key, "3.22.1-r0", "9-r0", 1)
		}
	}
	if _, err := a.again(root, "linux/amd64", lock); errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), "is alpine-release-3.22.1-r0.apk") {
		t.Error(err)
	}
}
