package rootfs_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"path"
	"strings"
	"syscall"
	"testing"

	"overland/internal/builder/rootfs"
	"overland/internal/ecosystem/apt"
	"overland/internal/errs"
	"overland/internal/platform"
	"overland/internal/testkit/pack"
)

// tea adds a library and a program, of which the security archive has a newer one.
func (a *archive) tea() {
	for _, arch := range []string{"amd64", "armel"} {
		program := func(version string) []pack.DebEntry {
			return []pack.DebEntry{
				{Name: "./bin/"},
				{Name: "./bin/tea", Text: "tea " + version + " for " + arch, Header: tar.Header{Mode: 0o755}},
				{Name: "./bin/cup", Header: tar.Header{Typeflag: tar.TypeLink, Linkname: "./bin/tea"}},
				{Name: "./usr/bin/pot", Header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "/bin/tea"}},
				{Name: "./usr/share/doc/tea/copyright", Text: "free"},
				{Name: `./usr/lib/tea\x2dpot.slice`, Text: "as systemd writes a dash"},
			}
		}
		a.add("debian/calm", arch, "Package: tea\nVersion: 1\nArchitecture: "+arch+"\nDepends: leaves | coffee", map[string]string{"md5sums": "0  bin/tea\n"}, program("1")...)
		a.add("debian-security/calm-security", arch, "Package: tea\nVersion: 1+s1\nArchitecture: "+arch+"\nDepends: leaves | coffee", map[string]string{"md5sums": "0  bin/tea\n"},
			program("1+s1")...)
		a.add("debian/calm", arch, "Package: coffee\nVersion: 2\nArchitecture: all\nReplaces: base-files", map[string]string{"postinst": "#!/bin/sh\nset -e\n# nothing\nexit 0\n"},
			pack.DebEntry{Name: "./usr/lib/coffee.so", Text: "coffee"}, pack.DebEntry{Name: "./usr/share/base-files/motd", Text: "strong"})
	}
}

func TestARootFileSystem(t *testing.T) {
	a := newArchive(t)
	a.tea()
	a.publish()
	root := rootfs.Root{From: "debian/calm", Packages: []string{"tea"}}
	first, lock, err := a.recorded(root, "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(a.notes, "\n"); !strings.Contains(notes, "base-files is left without awk") || !strings.Contains(notes, "base-passwd is left without libc6") {
		t.Errorf("cuts: %s", notes)
	}
	got := listed(t, first)
	for _, line := range []string{
		"2 0777 0:0 bin -> usr/bin ", "0 0755 0:0 usr/bin/cup tea 1+s1 for amd64", "1 0755 0:0 usr/bin/tea -> usr/bin/cup ", "2 0644 0:0 usr/bin/pot -> /bin/tea ",
		"0 0644 0:0 usr/lib/os-release ID=debian", "0 0644 0:0 usr/share/doc/tea/copyright free", `0 0644 0:0 usr/lib/tea\x2dpot.slice as systemd writes a dash`, "0 0644 0:0 etc/motd strong", "5 1777 0:0 tmp/ ",
		"0 0644 0:0 etc/passwd root:*:0:0::/root:/bin/sh", "2 0777 0:0 var/run -> /run ", "2 0777 0:0 lib -> usr/lib ", "5 2775 0:8 var/mail/ ",
		"0 0644 0:0 var/lib/dpkg/status.d/tea ", "0 0644 0:0 var/lib/dpkg/status.d/tea.md5sums ", "0 0644 0:0 var/lib/dpkg/status.d/coffee ",
	} {
		if !strings.Contains("\n"+got, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
	a.files = nil // the archive is gone
	t.Chdir("/")
	defer syscall.Umask(syscall.Umask(0o077)) // another user's habits
	second, err := a.again(root, "linux/amd64", lock)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("from the lock it is another one:\n%s", listed(t, second))
	}
	if _, err := a.again(root, "linux/arm/v5", lock); errs.KindOf(err) != errs.Invalid || !strings.Contains(errs.HintOf(err), "overland record") {
		t.Errorf("a platform that was not recorded: %v", err)
	}
	root.Packages = []string{"tea", "sugar"}
	if _, err := a.again(root, "linux/amd64", lock); err == nil || !strings.Contains(err.Error(), "no archive has a package sugar") {
		t.Errorf("a package that was not recorded: %v", err)
	}
}

// TestWhatIsRefused changes the archive in one way each.
func TestWhatIsRefused(t *testing.T) {
	evil := func(e ...pack.DebEntry) func(*archive) {
		return func(a *archive) {
			a.add("debian/calm", "amd64", "Package: evil\nVersion: 1\nArchitecture: amd64", nil, e...)
		}
	}
	entry := func(name string, kind byte, to string) func(*archive) {
		return evil(pack.DebEntry{Name: name, Header: tar.Header{Typeflag: kind, Linkname: to}})
	}
	script := func(name, text string) func(*archive) {
		return func(a *archive) {
			a.add("debian/calm", "amd64", "Package: evil\nVersion: 1\nArchitecture: amd64", map[string]string{name: text})
		}
	}
	for name, test := range map[string]struct {
		change func(*archive)
		after  func(*archive) // once it is published
		kind   errs.Kind
		want   string
	}{
		"a climbing name":   {change: entry("./../etc/passwd", tar.TypeReg, ""), kind: errs.Untrusted, want: "not a name of a file below the root"},
		"an absolute name":  {change: entry("/etc/passwd", tar.TypeReg, ""), kind: errs.Untrusted, want: "not a name of a file below the root"},
		"a device":          {change: entry("./dev/sda", tar.TypeBlock, ""), kind: errs.Untrusted, want: "neither file, folder nor link"},
		"a pipe":            {change: entry("./dev/log", tar.TypeFifo, ""), kind: errs.Untrusted, want: "neither file, folder nor link"},
		"a link upwards":    {change: entry("./x", tar.TypeLink, "../../etc/passwd"), kind: errs.Untrusted, want: "not a name of a file below the root"},
		"another's file":    {change: entry("./x", tar.TypeLink, "./usr/lib/os-release"), kind: errs.Untrusted, want: "not a file of its package"},
		"below a link":      {change: evil(pack.DebEntry{Name: "./srv", Header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "/etc"}}, pack.DebEntry{Name: "./srv/x"}), kind: errs.Untrusted, want: "lies below srv"},
		"twice":             {change: evil(pack.DebEntry{Name: "./x"}, pack.DebEntry{Name: "x"}), kind: errs.Untrusted, want: "x is there twice"},
		"a conflict":        {change: evil(pack.DebEntry{Name: "./usr/lib/os-release"}), kind: errs.Invalid, want: "base-files and evil both have usr/lib/os-release"},
		"another /bin":      {change: entry("./bin", tar.TypeSymlink, "/tmp"), kind: errs.Untrusted, want: "/bin is not a link to usr/bin"},
		"a script":          {change: script("preinst", "#!/bin/sh\nmake-tea\n"), kind: errs.Invalid, want: "evil: its preinst: exit code 127: make-tea: not found"},
		"a hidden script":   {change: script("postinst", "#!/bin/sh\n# Automatically added by dh_installdeb/13\n:\n# End automatically added section\nperl -e 1\n"), kind: errs.Invalid, want: "evil: its postinst: it runs perl, which is not done here"},
		"another language":  {change: script("postinst", "#!/usr/bin/python3\n"), kind: errs.Invalid, want: "evil: its postinst: it is written for /usr/bin/python3"},
		"a link to nowhere": {change: script("postinst", "#!/bin/sh\nset -e\nln -s ../../../../nowhere/x /etc/x\necho y > /etc/x"), kind: errs.Invalid, want: "evil: its postinst: exit code 1"},
		"a swapped package": {change: entry("./x", tar.TypeReg, ""), after: func(a *archive) { a.files["debian/pool/main/evil_1_amd64.deb"][100] ^= 1 }, kind: errs.Unavailable, want: "evil_1_amd64.deb"},
		"another's key": {change: entry("./x", tar.TypeReg, ""), after: func(a *archive) {
			a.files["debian/dists/calm/InRelease"] = pack.DebianRelease(pack.OpenPGP(pack.DebianBirth), "calm", nil)
		}, kind: errs.Unavailable, want: "InRelease"},
		"no security": {change: entry("./x", tar.TypeReg, ""), after: func(a *archive) {
			a.files["debian-security/dists/calm-security/InRelease"] = pack.DebianRelease(a.key, "calm-security", nil)
		}, kind: errs.Invalid, want: "it has nothing for amd64"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t)
			test.change(a)
			a.publish()
			if test.after != nil {
				test.after(a)
			}
			_, _, err := a.recorded(rootfs.Root{From: "debian/calm", Packages: []string{"evil"}}, "linux/amd64")
			if err == nil || errs.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v: %v", errs.KindOf(err), err)
			}
		})
	}
}

// TestWhatIsAllowed: what overland.yaml may say.
func TestWhatIsAllowed(t *testing.T) {
	a := newArchive(t)
	a.tea()
	a.add("debian/calm", "amd64", "Package: scripted\nVersion: 1\nArchitecture: amd64", map[string]string{"postinst": "#!/bin/sh\nmake-tea"})
	a.publish()
	a.files["debian-security/dists/calm-security/InRelease"] = pack.DebianRelease(a.key, "calm-security", nil)
	for _, root := range []rootfs.Root{
		{From: "debian/calm", Packages: []string{"scripted", "tea=1"}, SkipScripts: []string{"scripted"}, WithoutSecurity: "yes"},
	} {
		b, _, err := a.recorded(root, "linux/amd64")
		if err != nil || !strings.Contains(listed(t, b), "tea 1 for amd64") {
			t.Errorf("%+v: %v", root, err)
		}
	}
	root := rootfs.Root{From: "debian/calm", Packages: []string{"tea"}, Exclude: []string{"coffee"}, WithoutSecurity: "yes"}
	if _, _, err := a.recorded(root, "linux/amd64"); err == nil || !strings.Contains(err.Error(), "tea depends on leaves | coffee") {
		t.Errorf("excluded: %v", err)
	}
}

// TestDataOnly: without programs it is one root file system for every platform, those included that the base lacks.
func TestDataOnly(t *testing.T) {
	a := newArchive(t)
	a.add("debian/calm", "amd64", "Package: zones\nVersion: 1\nArchitecture: all", nil, pack.DebEntry{Name: "./usr/share/zoneinfo/UTC", Text: "TZif2"}, pack.DebEntry{Name: "./usr/share/short", Text: "x"})
	a.add("debian/calm", "amd64", "Package: clock\nVersion: 1\nArchitecture: amd64", nil, pack.DebEntry{Name: "./usr/bin/clock", Text: "\x7fELF"})
	a.publish()
	root := rootfs.Root{From: "debian/calm", Packages: []string{"zones"}, DataOnly: "yes", Updates: "none"}
	first, lock, err := a.recorded(root, "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []platform.Platform{"linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64"} {
		if b, err := a.again(root, p, lock); err != nil || !bytes.Equal(b, first) {
			t.Errorf("for %s it is another one: %v", p, err)
		}
	}
	for h, text := range members(t, first) {
		if strings.Contains(string(text), "\x7fELF") || strings.Contains(h.Name, "update-passwd") || strings.Contains(string(text), "update-passwd") {
			t.Errorf("%s: %q", h.Name, text)
		}
	}
	if got := listed(t, first); !strings.Contains(got, " usr/share/zoneinfo/UTC TZif2\n") || !strings.Contains(got, " usr/share/short x\n") || !strings.Contains(got, " etc/passwd root:") {
		t.Error(got)
	}
	root.Packages = []string{"clock"}
	if _, _, err := a.recorded(root, "linux/amd64"); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "clock is not only data: /usr/bin/clock runs on one processor") {
		t.Errorf("a program: %v", err)
	}
}

// A packed index is unpacked by the recorder, which is believed as far as the InRelease goes.
func TestAnIndexIsTakenAsItsReleaseListsItUnpacked(t *testing.T) {
	for _, changed := range []bool{false, true} {
		a := newArchive(t)
		a.publish()
		for rel, b := range a.files {
			if path.Base(rel) != "Packages" {
				continue
			}
			delete(a.files, rel) // as in archives: only what is packed is there
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			if _, err := w.Write(b); err != nil || w.Close() != nil {
				t.Fatal(err)
			}
			a.files[rel+".gz"] = packed.Bytes()
		}
		for _, at := range []string{"debian/calm", "debian-security/calm-security"} {
			name, suite, _ := strings.Cut(at, "/")
			lists := map[string][]byte{}
			for _, arch := range []string{"amd64", "armel"} {
				rel := "main/binary-" + arch + "/Packages"
				lists[rel] = []byte(a.index[at+" "+arch])
				lists[rel+".gz"] = a.files[name+"/dists/"+suite+"/"+rel+".gz"]
				if changed { // what is listed is not what is packed
					lists[rel] = append(lists[rel], '\n')
				}
			}
			a.files[name+"/dists/"+suite+"/InRelease"] = pack.DebianRelease(a.key, suite, lists)
		}
		_, l, err := a.recorded(rootfs.Root{From: "debian/calm", WithoutSecurity: "yes"}, "linux/amd64")
		if changed {
			if errs.KindOf(err) != errs.Untrusted {
				t.Errorf("taken: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := l.Find(apt.Name, "debian/dists/calm/main/binary-amd64/Packages.gz"); !ok {
			t.Errorf("not locked: %+v", l.Entries)
		}
	}
}
