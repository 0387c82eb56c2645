package deb_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"overland/internal/deb"
	"overland/internal/errs"
)

// Every digest that is signed has to fit, and one has to be.
func TestCheckOfAFile(t *testing.T) {
	got := measure(t, strings.NewReader("x"))
	other := measure(t, strings.NewReader("y"))
	for name, c := range map[string]struct {
		signed deb.File
		fits   bool
	}{
		"both":           {got, true},
		"sha256":         {deb.File{Size: 1, SHA256: got.SHA256}, true},
		"sha512":         {deb.File{Size: 1, SHA512: got.SHA512}, true},
		"another sha256": {deb.File{Size: 1, SHA256: other.SHA256, SHA512: got.SHA512}, false},
		"another sha512": {deb.File{Size: 1, SHA256: got.SHA256, SHA512: other.SHA512}, false},
		"another size":   {deb.File{Size: 2, SHA256: got.SHA256}, false},
		"no digest":      {deb.File{Size: 1}, false},
	} {
		if err := c.signed.Check(got); (err == nil) != c.fits || err != nil && errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A Release says one thing of each file.
func TestAReleaseContradictsItself(t *testing.T) {
	const head = "Suite: calm\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"
	a, b, long := strings.Repeat("a", 64), strings.Repeat("b", 64), strings.Repeat("c", 128)
	files := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, " %s 1 %d\n", a, i)
		}
		return b.String()
	}
	for text, good := range map[string]bool{
		"SHA256:\n " + a + " 1 x\nSHA512:\n " + long + " 1 x\n": true,
		"SHA256:\n " + a + " 1 x\nSHA512:\n " + long + " 2 x\n": false,
		"SHA256:\n " + a + " 1 x\n " + b + " 1 x\n":             false,
		"SHA256:\n " + a + " 1\n":                               false,
		"SHA256:\n " + long + " 1 x\n":                          false,
		"SHA256:\n " + a + " -1 x\n":                            false,
		"SHA256:\n " + a + " 1 x\n " + a + " 1 x\n":             true,
		"Valid-Until: tomorrow\n":                               false,
		"Valid-Until: Thu, 01 Jan 2026 00:00:00 +0200\n":        false,
		"SHA256:\n " + a + " 1 x\n\nSuite: storm\n":             false,
		"SHA256:\n" + files(100_001):                            false,
	} {
		if r, err := deb.ParseRelease([]byte(head + text)); (err == nil) != good || err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("%.200q: %v", text, err)
		} else if good && r.CheckDates(today) != nil {
			t.Errorf("%.200q: it says no end, and has ended", text)
		}
	}
	for text, bad := range map[string]bool{"": false, "Suite: calm\n": true, "Codename: calm\n": true} {
		r, err := deb.ParseRelease([]byte("Date: Thu, 01 Jan 2026 00:00:00 UTC\n" + text))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.CheckSuite("storm"); (err != nil) != bad {
			t.Errorf("%q, of the suite storm: %v", text, err)
		}
	}
	if _, err := deb.ParseRelease([]byte("Suite: calm\n")); errs.KindOf(err) != errs.Invalid {
		t.Errorf("one without a date: %v", err)
	}
	// Of files that have one digest alone, none is found by the same kind of digest of another one.
	for field, sums := range map[string][2]string{"SHA256": {a, b}, "SHA512": {long, strings.Repeat("d", 128)}} {
		r, err := deb.ParseRelease([]byte(head + field + ":\n " + sums[0] + " 1 x\n"))
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := r.Find("by-hash/" + field + "/" + sums[1]); ok {
			t.Errorf("%+v", f)
		}
	}
}

// A paragraph without end is not kept in memory, whether it has one line or many.
func TestAParagraphIsTooLong(t *testing.T) {
	for name, line := range map[string]string{"lines": " " + strings.Repeat("x", 1000) + "\n", "one line": strings.Repeat("x", 1000)} {
		read := 0
		d := deb.NewDecoder(io.MultiReader(strings.NewReader("A: b\n "), repeated{line, &read}))
		if _, err := d.Next(); errs.KindOf(err) != errs.Invalid || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
		if read > 9<<20 {
			t.Errorf("%s: %d bytes were read", name, read)
		}
	}
}

// repeated yields text again and again, up to 32 MiB.
type repeated struct {
	text string
	read *int
}

func (r repeated) Read(p []byte) (int, error) {
	if *r.read > 32<<20 {
		return 0, io.EOF
	}
	n := copy(p, r.text)
	*r.read += n
	return n, nil
}

// dictionary is an xz file that asks for a dictionary of 4 GiB.
func dictionary() []byte {
	const largest = 40 // 4 GiB - 1, as LZMA2 writes it
	b := []byte("\xfd7zXZ\x00\x00\x04")
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[6:]))
	block := []byte{2, 0, 0x21, 1, largest, 0, 0, 0} // its length is (2+1)*4, one filter: LZMA2
	b = append(b, block...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(block))
	return append(b, "\x01\x00\x00xxxx"...)
}

// An index that asks for it is refused before anything is set aside.
func TestAnIndexWithALargeDictionary(t *testing.T) {
	if _, err := deb.ReadIndex(bytes.NewReader(dictionary())); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "xz") {
		t.Error(err)
	}
}
