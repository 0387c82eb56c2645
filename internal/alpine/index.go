package alpine

import (
	"bufio"
	"crypto/sha1" // what the format has
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"overland/internal/errs"
)

// IndexName is the name of the index in each folder of a repository.
const IndexName = "APKINDEX.tar.gz"

// IndexLimit is how long an APKINDEX.tar.gz may be, in bytes; the largest one known has 3 MB.
const IndexLimit = 64 << 20

const (
	unpackedLimit = 512 << 20 // bytes of an index, unpacked
	lineLimit     = 1 << 20   // bytes of a line; the longest ones known list 100 KB of dependencies
	recordsLimit  = 500_000   // packages of an index
)

// Index is what an APKINDEX says.
type Index struct {
	Made     time.Time          // when it was made; zero: not said
	Packages map[string]Package // by the name of the file, "NAME-VERSION.apk"
}

// Package is what an index says of a package, or what one was measured to be.
type Package struct {
	Size    int64           // bytes of the file
	Control [sha1.Size]byte // of its control member
}

// Check returns errs.Untrusted unless got, the measure of a package, is what its index says.
func (p Package) Check(got Package) error {
	switch {
	case got.Size != p.Size:
		return errs.Errorf(errs.Untrusted, "%d bytes, its index says %d", got.Size, p.Size)
	case got.Control != p.Control:
		return errs.Errorf(errs.Untrusted, "its control files are sha1 %x, its index says %x", got.Control, p.Control)
	}
	return nil
}

// parseIndex returns the packages that r, the text of an APKINDEX, lists, by the name of their
// file. Those without a checksum of a known kind are left out: nothing proves them.
func parseIndex(r io.Reader) (map[string]Package, error) {
	files := map[string]Package{}
	return files, records(r, "PVCS", func(fields map[byte]string) error {
		l, proved, err := proof(fields)
		if err != nil || !proved {
			return err
		}
		name := fields['P'] + "-" + fields['V'] + ".apk"
		if old, there := files[name]; there && old != l {
			return fmt.Errorf("two contents of %.100s", name)
		}
		if files[name] = l; len(files) > recordsLimit {
			return fmt.Errorf("more than %d packages", recordsLimit)
		}
		return nil
	})
}

// records calls each with the fields of every record of r, the text of an APKINDEX, that are among letters.
func records(r io.Reader, letters string, each func(fields map[byte]string) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), lineLimit)
	fields := map[byte]string{}
	n := 0
	flush := func() error {
		if len(fields) == 0 {
			return nil
		}
		err := each(fields)
		clear(fields)
		return err
	}
	for lines.Scan() {
		n++
		line := lines.Text()
		switch {
		case line == "":
			if err := flush(); err != nil {
				return fmt.Errorf("before line %d: %w", n, err)
			}
		case len(line) < 2 || line[1] != ':':
			return fmt.Errorf("line %d: %.100q", n, line)
		case strings.IndexByte(letters, line[0]) >= 0:
			if _, twice := fields[line[0]]; twice {
				return fmt.Errorf("line %d: %c appears twice", n, line[0])
			}
			fields[line[0]] = line[2:]
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return flush()
}

// proof returns what proves the package of the fields of a record; proved is false when its checksum is of another kind.
func proof(fields map[byte]string) (p Package, proved bool, err error) {
	sum, ok := strings.CutPrefix(fields['C'], "Q1")
	if !ok {
		return p, false, nil
	}
	name := fields['P'] + "-" + fields['V'] + ".apk"
	if fields['P'] == "" || fields['V'] == "" || strings.ContainsAny(name, "/ ") || len(name) > nameLimit {
		return p, false, fmt.Errorf("package %.100q", name)
	}
	b, err := base64.StdEncoding.DecodeString(sum)
	size, serr := strconv.ParseInt(fields['S'], 10, 64)
	if err != nil || serr != nil || len(b) != sha1.Size || size < 0 {
		return p, false, fmt.Errorf("checksum or size of %.100s", name)
	}
	return Package{Size: size, Control: [sha1.Size]byte(b)}, true, nil
}

// ReadIndex returns what r, an APKINDEX.tar.gz whose signatures were verified, says. Anything
// else is errs.Untrusted, and so is an index of more than 512 MiB unpacked, 500,000 packages,
// 1,000 files or 1 MiB in a line.
func ReadIndex(r io.Reader) (*Index, error) {
	x := &Index{}
	var err error
	x.Made, err = readIndex(r, func(text io.Reader) (err error) {
		x.Packages, err = parseIndex(text)
		return err
	})
	if err != nil {
		return nil, err
	}
	return x, nil
}

// readIndex gives the text of r to parse, and returns when it was made.
func readIndex(r io.Reader, parse func(io.Reader) error) (made time.Time, err error) {
	m := newMembers(r)
	_, _, files, err := m.begin()
	if err != nil {
		return made, err
	}
	files.r.n = unpackedLimit
	seen := false
	for err == nil {
		if files.h.Name == "APKINDEX" {
			if seen {
				return made, errs.Errorf(errs.Untrusted, "two files APKINDEX")
			}
			seen = true
			if err = parse(files.t); err != nil {
				return made, errs.E(errs.Untrusted, fmt.Errorf("APKINDEX: %w", err))
			}
			if files.h.ModTime.Unix() > 0 {
				made = files.h.ModTime
			}
		}
		err = files.next()
	}
	if err := files.end(err); err != nil {
		return made, err
	}
	if !seen {
		return made, errs.Errorf(errs.Untrusted, "no file APKINDEX in it")
	}
	if _, err := m.next(); !errors.Is(err, io.EOF) {
		return made, errs.Errorf(errs.Untrusted, "more after its content")
	}
	return made, nil
}
