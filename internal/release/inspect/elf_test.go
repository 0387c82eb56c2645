package inspect

import (
	"encoding/binary"
	"strings"
	"testing"

	"overland/internal/errs"
)

// elf returns a program with two sections, the names and .go.buildinfo, which begins at 0x1234. change may
// change its header, of which the second section's is behind the first's.
func elf(wide bool, change func(put func(at int, v uint64, size int))) string {
	const names = "\x00.go.buildinfo\x00"
	header, entry := 52, 40
	if wide {
		header, entry = 64, 64
	}
	b := make([]byte, header+2*entry, header+2*entry+len(names))
	put := func(at int, v uint64, size int) {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], v)
		copy(b[at:at+size], word[:])
	}
	copy(b, "\x7fELF\x01\x01\x01")
	at := uint64(len(b))
	if wide {
		b[4] = 2
		put(40, 64, 8)
		put(58, 64, 2)
		put(60, 2, 2)
		put(64+24, at, 8)
		put(64+32, uint64(len(names)), 8)
		put(128, 1, 4)
		put(128+24, 0x1234, 8)
	} else {
		put(32, 52, 4)
		put(46, 40, 2)
		put(48, 2, 2)
		put(52+16, at, 4)
		put(52+20, uint64(len(names)), 4)
		put(92, 1, 4)
		put(92+16, 0x1234, 4)
	}
	change(put)
	return string(b) + names
}

// What a header of a program says is not believed: it is a stranger's.
func TestHeadersOfPrograms(t *testing.T) {
	type put = func(at int, v uint64, size int)
	const minus = 1 << 63
	for what, c := range map[string]struct {
		wide   bool
		change func(put)
		want   bool
	}{
		"64 bits":                         {true, func(put) {}, true},
		"32 bits":                         {false, func(put) {}, true},
		"another kind of file":            {true, func(p put) { p(0, 0x7e, 1) }, false},
		"big-endian":                      {true, func(p put) { p(5, 2, 1) }, false},
		"neither":                         {true, func(p put) { p(4, 3, 1) }, false},
		"no table":                        {true, func(p put) { p(40, 0, 8) }, false},
		"a table before the file":         {true, func(p put) { p(40, minus, 8) }, false},
		"a table behind the file":         {true, func(p put) { p(40, 1<<40, 8) }, false},
		"short entries":                   {true, func(p put) { p(58, 63, 2) }, false},
		"short entries, 32 bits":          {false, func(p put) { p(46, 39, 2) }, false},
		"entries of 16 bytes, 32 bits":    {false, func(p put) { p(46, 16, 2) }, false},
		"no entries":                      {true, func(p put) { p(60, 0, 2) }, false},
		"more sections than any has":      {true, func(p put) { p(60, 0xffff, 2); p(58, 64, 2) }, false},
		"names in a section that is not":  {true, func(p put) { p(62, 2, 2) }, false},
		"names before the file":           {true, func(p put) { p(64+24, minus, 8) }, false},
		"names behind the file":           {true, func(p put) { p(64+24, 1<<40, 8) }, false},
		"names of a negative length":      {true, func(p put) { p(64+32, minus, 8) }, false},
		"names of 1 TiB":                  {true, func(p put) { p(64+32, 1<<40, 8) }, false},
		"a name behind the names":         {true, func(p put) { p(128, 15, 4) }, false},
		"a name far behind the names":     {true, func(p put) { p(128, 0xffffffff, 4) }, false},
		"another name":                    {true, func(p put) { p(128, 2, 4) }, false},
		"a section that begins nowhere":   {true, func(p put) { p(128+24, 0, 8) }, false},
		"a section that begins before it": {true, func(p put) { p(128+24, minus, 8) }, false},
	} {
		off, err := buildInfoOffset(strings.NewReader(elf(c.wide, c.change)))
		if (err == nil) != c.want || err == nil && off != 0x1234 || err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %#x, %v", what, off, err)
		}
	}
}

func TestBuildInformation(t *testing.T) {
	text := func(s string) string { return string(binary.AppendUvarint(nil, uint64(len(s)))) + s }
	head := "\xff Go buildinf:\x08\x02" + strings.Repeat("\x00", 16)
	mark := strings.Repeat("m", 16)
	for what, c := range map[string]struct {
		b, mod string
		want   bool
	}{
		"modules":                 {head + text("go1.26") + text(mark+"path\ta\n"+mark), "path\ta\n", true},
		"none":                    {head + text("go1.26") + text(""), "", true},
		"a list without marks":    {head + text("go1.26") + text("path\ta\n"), "", true},
		"a list without an end":   {head + text("go1.26") + text(mark+"path\ta"+mark), "", true},
		"the form before Go 1.18": {strings.Replace(head, "\x02", "\x00", 1) + text("go1.26") + text(""), "", false},
		"something else":          {strings.Replace(head, "G", "g", 1) + text("go1.26") + text(""), "", false},
		"a string of 1 TiB":       {head + string(binary.AppendUvarint(nil, 1<<40)), "", false},
		"a length without end":    {head + strings.Repeat("\xff", 20), "", false},
		"a string that is cut":    {head + text("go1.26")[:4], "", false},
		"one string alone":        {head + text("go1.26"), "", false},
	} {
		version, mod, err := readBuildInfo(strings.NewReader(c.b))
		if (err == nil) != c.want || err == nil && (version != "go1.26" || mod != c.mod) || err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %q, %q, %v", what, version, mod, err)
		}
	}
}
