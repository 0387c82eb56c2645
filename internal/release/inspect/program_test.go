package inspect

import (
	"debug/buildinfo"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/testkit/bins"
)

// The standard library's reader, which knows more formats, must agree on what Overland builds.
func TestProgramIsReadAsTheStandardLibraryReadsIt(t *testing.T) {
	builder := bins.Builder{Dir: t.TempDir()}
	for _, plat := range []platform.Platform{"linux/amd64", "linux/arm/v5"} {
		path, err := builder.Build(t.Context(), bins.Agent, plat, "")
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		got, err := readProgram(f, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		std, err := buildinfo.Read(f)
		if err != nil {
			t.Fatal(err)
		}
		want := nodeapi.Program{Size: info.Size()}
		Describe(&want, std)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-standard library +ours):\n%s", plat, diff)
		}
		if len(got.Modules) < 5 || !strings.HasPrefix(got.Go, "go1.") {
			t.Errorf("%s: only %+v was read", plat, got)
		}
	}
}

func TestOtherFilesAreNoPrograms(t *testing.T) {
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty": "", "script": "#!/bin/sh\necho " + strings.Repeat("x", 100), "cut in the header": string(exe[:50]), "cut": string(exe[:4096]),
	} {
		r := strings.NewReader(text)
		if _, err := readProgram(r, r.Size()); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzProgram(f *testing.F) {
	head, err := os.ReadFile(filepath.Join("/proc", "self", "exe"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(head[:4096]))
	f.Add("\x7fELF\x02\x01" + strings.Repeat("\x40\x00", 40))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := readProgram(strings.NewReader(text), int64(len(text)))
		if err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("kind %s of %v", errs.KindOf(err), err)
		}
		if p.Size != int64(len(text)) {
			t.Errorf("size %d", p.Size)
		}
	})
}

func FuzzBuildInfo(f *testing.F) {
	f.Add("\xff Go buildinf:\x08\x02" + strings.Repeat("\x00", 16) + "\x06go1.26\x00")
	f.Fuzz(func(t *testing.T, text string) {
		_, _, err := readBuildInfo(strings.NewReader(text))
		if err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("kind %s of %v", errs.KindOf(err), err)
		}
	})
}
