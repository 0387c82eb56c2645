package alpine_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"overland/internal/alpine"
	"overland/internal/errs"
)

// TestAPackageIsReadOnce reads the package that another test reads in two passes.
func TestAPackageIsReadOnce(t *testing.T) {
	file := read(t, "tea-1.0-r0.apk")
	want, err := alpine.ReadPackage(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	var info *alpine.Info
	to := alpine.Contents{
		Control: func(name string, _ io.Reader) error { seen = append(seen, name); return nil },
		Info:    func(p *alpine.Info) error { info = p; return nil },
		Data:    func(h *tar.Header, _ io.Reader) error { seen = append(seen, h.Name); return nil },
	}
	got, err := alpine.ReadArchive(bytes.NewReader(file), to)
	if err != nil || got != want {
		t.Fatalf("%+v, not %+v: %v", got, want, err)
	}
	if info.Name != "tea" || info.Version != "1.0-r0" || info.Text['T'] != "tea" || len(seen) == 0 {
		t.Errorf("%+v %q", info, seen)
	}
	listed := 0
	err = alpine.ReadInfos(bytes.NewReader(read(t, alpine.IndexName)), func(p *alpine.Info) error {
		listed++
		if p.File() != "tea-1.0-r0.apk" || p.Package != want {
			t.Errorf("%+v", p)
		}
		return nil
	})
	if err != nil || listed != 1 {
		t.Errorf("%d packages: %v", listed, err)
	}
	for at := range len(file) {
		bad := bytes.Clone(file)
		bad[at] ^= 1
		other, err := alpine.ReadArchive(bytes.NewReader(bad), to)
		if err == nil && other == want && at > len(file)-int(want.Size) {
			// A signature of the package's own is not what proves it: only what follows counts.
			if _, err := alpine.ReadPackage(bytes.NewReader(bad)); err != nil {
				t.Fatalf("byte %d changed: %v", at, err)
			}
		}
		if err != nil && errs.KindOf(err) != errs.Untrusted && errs.KindOf(err) != errs.Invalid {
			t.Fatalf("byte %d changed: %v", at, err)
		}
	}
	if _, err := alpine.ReadArchive(bytes.NewReader(file[:len(file)-9]), to); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("cut short: %v", err)
	}
}

func TestWhatPkginfoSays(t *testing.T) {
	const text = "# by hand\npkgname = tea\npkgver = 1.2-r3\narch = armhf\norigin = kettle\ndepend = so:libc.so=1\ndepend = !salt\nprovides = cmd:tea=1.2-r3 hot\n" +
		"install_if = cup water>1\nreplaces = coffee<2\nreplaces_priority = 3\nprovider_priority = 10\ntriggers = /usr/bin /lib/*\npkgdesc = a = b\nunknown = x\n"
	p, err := alpine.ParsePkginfo(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	const want = "tea 1.2-r3 armhf kettle [so:libc.so=1 !salt] [cmd:tea=1.2-r3 hot] [cup water>1] [coffee<2] 3 10 [/usr/bin /lib/*] a = b"
	if got := fmt.Sprint(p.Name, " ", p.Version, " ", p.Architecture, " ", p.Origin, " ", p.Depends, " ", p.Provides, " ", p.InstallIf, " ", p.Replaces, " ",
		p.ReplacesPriority, " ", p.ProviderPriority, " ", p.Triggers, " ", p.Text['T']); got != want {
		t.Error(got)
	}
	for _, bad := range []string{
		"", "pkgname = tea\n", "pkgname = tea\npkgver = x\n", "pkgname = a/b\npkgver = 1\n", "pkgname = tea\npkgname = tea\npkgver = 1\n",
		"pkgname = tea\npkgver = 1\ndepend = a==1\n", "pkgname = tea\npkgver = 1\nprovider_priority = 99999\n", "pkgname = ../tea\npkgver = 1\n",
	} {
		if p, err := alpine.ParsePkginfo(strings.NewReader(bad)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %+v %v", bad, p, err)
		}
	}
}
