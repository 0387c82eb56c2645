package command

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"strings"

	"overland/internal/archive"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/platform"
)

// machines are what programs are for, by the architecture that a platform names.
func machines() map[string]elf.Machine {
	return map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm": elf.EM_ARM, "arm64": elf.EM_AARCH64}
}

// forPlatform refuses the program file, called name in overland.yaml, when it is one for another kind of
// machine than p: a node would say "exec format error". A script is for all of them.
func forPlatform(file, name string, p platform.Platform) error {
	f, err := fsx.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	refuse := func(what string) error {
		return errs.Hint(errs.Errorf(errs.Invalid, "%s is a program for %s, not for %s", name, what, p),
			"make it for $OVERLAND_PLATFORM: GOOS, GOARCH and GOARM say it to Go, a compiler for that CPU to make; or name the platforms that it is for")
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(f, head); err != nil {
		return nil // too short for a program
	}
	switch {
	case bytes.HasPrefix(head, []byte("MZ")):
		return refuse("Windows")
	case bytes.Contains([]byte("\xcf\xfa\xed\xfe \xce\xfa\xed\xfe \xca\xfe\xba\xbe"), head):
		return refuse("macOS")
	case string(head) != elf.ELFMAG:
		return nil
	}
	e, err := archive.ELF(f)
	if err != nil {
		return errs.Hint(errs.Errorf(errs.Invalid, "%s is not a whole program: %w", name, err), "output in overland.yaml names the one file that the command makes")
	}
	arch := strings.Split(string(p), "/")[1]
	if want := machines()[arch]; e.Machine != want || e.Data != elf.ELFDATA2LSB {
		for arch, m := range machines() {
			if m == e.Machine {
				return refuse("linux/" + arch)
			}
		}
		return refuse(fmt.Sprintf("another CPU (%s)", e.Machine))
	}
	return nil
}
