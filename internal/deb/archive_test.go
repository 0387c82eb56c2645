package deb_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"overland/internal/deb"
	"overland/internal/errs"
)

// member is one of an ar archive, with the byte that makes its length even.
func member(name, content string) string {
	return fmt.Sprintf("%-16s%-12d%-6d%-6d%-8o%-10d`\n%s%s", name, 0, 0, 0, 0o644, len(content), content, strings.Repeat("\n", len(content)%2))
}

// tarOf returns a tar of a folder, a symbolic link and the regular files.
func tarOf(t *testing.T, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	headers := []*tar.Header{{Name: "./", Typeflag: tar.TypeDir}, {Name: "./link", Typeflag: tar.TypeSymlink, Linkname: "x"}}
	for _, name := range files {
		headers = append(headers, &tar.Header{Name: "./" + name, Typeflag: tar.TypeReg, Size: int64(len(name))})
	}
	for _, h := range headers {
		err := w.WriteHeader(h)
		if err == nil && h.Size > 0 {
			_, err = io.WriteString(w, strings.TrimPrefix(h.Name, "./"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// zeros returns a zstd frame of a tar with one file of so many MiB, which are zeros: 32 bytes for each.
func zeros(t *testing.T, mib int) string {
	t.Helper()
	var head bytes.Buffer
	if err := tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "./zeros", Typeflag: tar.TypeReg, Size: int64(mib) << 20}); err != nil {
		t.Fatal(err)
	}
	b := []byte("\x28\xb5\x2f\xfd\x00\x58")
	block := func(last, kind, size uint32, content string) {
		b = append(binary.LittleEndian.AppendUint32(b, last|kind<<1|size<<3)[:len(b)+3], content...)
	}
	block(0, 0, 512, head.String())
	for range mib * 8 {
		block(0, 1, 128<<10, "\x00") // one byte, so many times
	}
	block(1, 1, 1024, "\x00")
	return string(b)
}

const arMagic, version = "!<arch>\n", "2.0\n"

func TestAPackageIsRead(t *testing.T) {
	control, data := tarOf(t, "control", "postinst"), tarOf(t, "usr")
	own := errors.New("the caller's")
	long := func(n int) string { return data + strings.Repeat("\x00", n) }
	const odd = 1
	for _, c := range []struct {
		what, text string
		want       bool
	}{
		{"a package", member("debian-binary", version) + member("control.tar", control) + member("data.tar", data), true},
		{"with names as GNU writes them", member("debian-binary/", version) + member("control.tar/", control) + member("data.tar/", data), true},
		{"with members of an odd length", member("debian-binary", "2.0") + member("control.tar", control+"\x00") + member("data.tar", long(odd)), true},
		{"without the last byte of padding", strings.TrimSuffix(member("debian-binary", version)+member("control.tar", control)+member("data.tar", long(odd)), "\n"), true},
		{"with another member at the end", member("debian-binary", version) + member("control.tar", control) + member("data.tar", data) + member("_gpgorigin", "x"), true},
		{"with 1 MiB behind its files", member("debian-binary", version) + member("control.tar", control) + member("data.tar", long(1<<20)), true},
		{"with more", member("debian-binary", version) + member("control.tar", control) + member("data.tar", long(1<<20+1)), false},
		{"with small files of zeros", member("debian-binary", version) + member("control.tar", control) + member("data.tar.zst", zeros(t, 8)), true},
		{"with control files of 65 MiB", member("debian-binary", version) + member("control.tar.zst", zeros(t, 65)) + member("data.tar", data), false},
		{"with files of 257 MiB in 9 KB", member("debian-binary", version) + member("control.tar", control) + member("data.tar.zst", zeros(t, 257)), false},
		{"of format 3", member("debian-binary", "3.0\n") + member("control.tar", control) + member("data.tar", data), false},
		{"whose format is long", member("debian-binary", version+strings.Repeat(" ", 100)) + member("control.tar", control) + member("data.tar", data), false},
		{"in another order", member("control.tar", control) + member("debian-binary", version) + member("data.tar", data), false},
		{"with a name that only begins so", member("debian-binary", version) + member("control.tarx", control) + member("data.tar", data), false},
		{"packed with what nobody knows", member("debian-binary", version) + member("control.tar.lz", control) + member("data.tar", data), false},
		{"with a broken header", strings.Replace(member("debian-binary", version), "`", "'", 1) + member("control.tar", control) + member("data.tar", data), false},
		{"with a size below 0", strings.Replace(member("debian-binary", version), "4         `", "-4        `", 1) + member("control.tar", control) + member("data.tar", data), false},
		{"with a size that is not a number", strings.Replace(member("debian-binary", version), "4         `", "4x        `", 1) + member("control.tar", control) + member("data.tar", data), false},
		{"that ends early", member("debian-binary", version) + member("control.tar", control) + member("data.tar", data)[:1000], false},
		{"without files", member("debian-binary", version) + member("control.tar", control), false},
	} {
		var got []string
		note := func(name string) { got = append(got, name) }
		contents := deb.Contents{
			Control: func(name string, r io.Reader) error { note(name); _, err := io.Copy(io.Discard, r); return err },
			Data:    func(h *tar.Header, r io.Reader) error { note(h.Name); _, err := io.Copy(io.Discard, r); return err },
		}
		err := deb.ReadArchive(strings.NewReader(arMagic+c.text), contents)
		if (err == nil) != c.want || err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("a package %s: %v", c.what, err)
		}
		if want := []string{"control", "postinst", "./", "./link", "./usr"}; c.what == "a package" && !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	good := arMagic + member("debian-binary", version) + member("control.tar", control) + member("data.tar", data)
	for name, c := range map[string]deb.Contents{
		"control": {Control: func(string, io.Reader) error { return own }}, "data": {Data: func(*tar.Header, io.Reader) error { return own }},
	} {
		if err := deb.ReadArchive(strings.NewReader(good), c); err != own { //nolint:errorlint // as it is
			t.Errorf("an error of the caller's, for %s: %v", name, err)
		}
	}
	if err := deb.ReadArchive(strings.NewReader(good[:len(good)-700]), deb.Contents{}); err != nil {
		t.Errorf("without a reader of the files: %v", err)
	}
	for _, text := range []string{"", "!<arch>", strings.Replace(good, "!", "?", 1)} {
		if err := deb.ReadArchive(strings.NewReader(text), deb.Contents{}); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "ar archive") {
			t.Errorf("%.8q: %v", text, err)
		}
	}
}
