package alpine

import (
	"bufio"
	"crypto/sha1" // what the format has
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
)

const pkginfoLimit = 4 << 20 // bytes of a .PKGINFO

// ReadPackage returns size and control sum of r, a package, after it has verified that the data
// is what the control files say. Anything else is errs.Untrusted, and so are control files of
// more than 64 MiB or 1,000 files.
func ReadPackage(r io.ReadSeeker) (Package, error) {
	m := newMembers(r)
	_, at, files, err := m.begin()
	if err != nil {
		return Package{}, err
	}
	files.r.n = controlLimit
	want := ""
	for err == nil {
		if files.h.Name == ".PKGINFO" {
			if want != "" {
				return Package{}, errs.Errorf(errs.Untrusted, "two files .PKGINFO")
			}
			if want, err = dataHash(files.t); err != nil {
				return Package{}, errs.E(errs.Untrusted, fmt.Errorf(".PKGINFO: %w", err))
			}
		}
		err = files.next()
	}
	if err := files.end(err); err != nil {
		return Package{}, err
	}
	if want == "" {
		return Package{}, errs.Errorf(errs.Untrusted, "no .PKGINFO before its data")
	}
	return hashPackage(r, at, m.pos, want)
}

// hashPackage returns size and control sum of r, whose control member lies from at to end;
// the rest must have the sum want.
func hashPackage(r io.ReadSeeker, at, end int64, want string) (Package, error) {
	if _, err := r.Seek(at, io.SeekStart); err != nil {
		return Package{}, err
	}
	control, data := sha1.New(), sha256.New() // as above
	if _, err := io.CopyN(control, r, end-at); err != nil {
		return Package{}, err
	}
	n, err := io.Copy(data, r)
	if err != nil {
		return Package{}, err
	}
	if got := hex.EncodeToString(data.Sum(nil)); got != want {
		return Package{}, errs.Errorf(errs.Untrusted, "its data is sha256 %s, its .PKGINFO says %s", got, want)
	}
	return Package{Size: end + n, Control: [sha1.Size]byte(control.Sum(nil))}, nil
}

// dataHash returns the datahash of r, a .PKGINFO: 64 lower-case hex digits.
func dataHash(r io.Reader) (string, error) {
	lines := bufio.NewScanner(fsx.Limit(r, pkginfoLimit))
	lines.Buffer(make([]byte, 0, 4<<10), lineLimit)
	found := ""
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " = ")
		if !ok || name != "datahash" {
			continue
		}
		if b, err := hex.DecodeString(value); err != nil || len(b) != sha256.Size || found != "" {
			return "", fmt.Errorf("datahash %.100q", value)
		}
		found = strings.ToLower(value)
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	if found == "" {
		return "", errors.New("no datahash: a package of the first format")
	}
	return found, nil
}
