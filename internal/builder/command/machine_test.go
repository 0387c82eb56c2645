package command

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/platform"
)

// header returns the beginning of a program for machine m.
func header(class elf.Class, m elf.Machine) string {
	size := map[elf.Class]int{elf.ELFCLASS32: 52, elf.ELFCLASS64: 64}[class]
	b := make([]byte, size)
	copy(b, elf.ELFMAG)
	b[elf.EI_CLASS], b[elf.EI_DATA], b[elf.EI_VERSION] = byte(class), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	binary.LittleEndian.PutUint16(b[16:], uint16(elf.ET_EXEC))
	binary.LittleEndian.PutUint16(b[18:], uint16(m))
	binary.LittleEndian.PutUint32(b[20:], uint32(elf.EV_CURRENT))
	return string(b)
}

func TestAProgramIsForItsPlatform(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		p       platform.Platform
		says    string
	}{
		"amd64":           {header(elf.ELFCLASS64, elf.EM_X86_64), "linux/amd64", ""},
		"arm":             {header(elf.ELFCLASS32, elf.EM_ARM), "linux/arm/v5", ""},
		"arm64":           {header(elf.ELFCLASS64, elf.EM_AARCH64), "linux/arm64", ""},
		"script":          {"#!/bin/sh\n", "linux/arm64", ""},
		"short":           {"x", "linux/arm64", ""},
		"this machine's":  {header(elf.ELFCLASS64, elf.EM_X86_64), "linux/arm/v6", "out/app is a program for linux/amd64, not for linux/arm/v6"},
		"another CPU":     {header(elf.ELFCLASS64, elf.EM_RISCV), "linux/arm64", "for another CPU (EM_RISCV), not for linux/arm64"},
		"Windows":         {"MZ\x90\x00", "linux/amd64", "for Windows, not for linux/amd64"},
		"macOS":           {"\xcf\xfa\xed\xfe", "linux/arm64", "for macOS, not for linux/arm64"},
		"half a program":  {"\x7fELF\x02\x01\x01", "linux/amd64", "out/app is not a whole program"},
		"32 bits of them": {header(elf.ELFCLASS32, elf.EM_386), "linux/amd64", "for another CPU (EM_386)"},
	} {
		path := filepath.Join(t.TempDir(), "app")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := forPlatform(path, "out/app", c.p)
		if (c.says == "") != (err == nil) || err != nil && (errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.says) || errs.HintOf(err) == "") {
			t.Errorf("%s: %v (hint %q), want %q", name, err, errs.HintOf(err), c.says)
		}
	}
}
