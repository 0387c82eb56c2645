package inspect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/errs"
)

func TestOtherFilesAreNoPrograms(t *testing.T) {
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty": "", "script": "#!/bin/sh\necho " + strings.Repeat("x", 100), "cut in the header": string(exe[:50]), "cut": string(exe[:4096]),
	} {
		r := strings.NewReader(text)
		if _, err := ReadProgram(r, r.Size()); errs.KindOf(err) != errs.Invalid {
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
		p, err := ReadProgram(strings.NewReader(text), int64(len(text)))
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
