package apk

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // what the format has
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"overland/internal/errs"
)

const (
	packedLimit  = 64 << 20  // bytes of an APKINDEX.tar.gz; the largest one known is 3 MB
	indexLimit   = 512 << 20 // bytes of the same, unpacked
	lineLimit    = 1 << 20   // bytes of a line; the longest ones known list 100 KB of dependencies
	recordsLimit = 500_000   // packages of an index
)

// index is what an APKINDEX says.
type index struct {
	made  time.Time // when; the zero time = not said
	files map[string]listed
}

// listed is what an index says of a package.
type listed struct {
	size    int64
	control [sha1.Size]byte // of its control member
}

// parseIndex returns the packages that r, the text of an APKINDEX, lists, by the name of their file. Those without a
// checksum that is known here are left out: nothing proves them.
func parseIndex(r io.Reader) (map[string]listed, error) {
	files := map[string]listed{}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), lineLimit)
	fields := map[byte]string{}
	n := 0
	flush := func() error {
		if len(fields) == 0 {
			return nil
		}
		err := add(files, fields)
		clear(fields)
		return err
	}
	for lines.Scan() {
		n++
		line := lines.Text()
		switch {
		case line == "":
			if err := flush(); err != nil {
				return nil, fmt.Errorf("before line %d: %w", n, err)
			}
		case len(line) < 2 || line[1] != ':':
			return nil, fmt.Errorf("line %d: %q", n, clip(line))
		case strings.IndexByte("PVCS", line[0]) >= 0:
			if _, twice := fields[line[0]]; twice {
				return nil, fmt.Errorf("line %d: %c is there twice", n, line[0])
			}
			fields[line[0]] = line[2:]
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	return files, flush()
}

// add adds the package of the fields of a record.
func add(files map[string]listed, fields map[byte]string) error {
	sum, ok := strings.CutPrefix(fields['C'], "Q1")
	if !ok {
		return nil
	}
	name := fields['P'] + "-" + fields['V'] + ".apk"
	if fields['P'] == "" || fields['V'] == "" || strings.ContainsAny(name, "/ ") || len(name) > nameLimit {
		return fmt.Errorf("package %q", clip(name))
	}
	b, err := base64.StdEncoding.DecodeString(sum)
	size, serr := strconv.ParseInt(fields['S'], 10, 64)
	if err != nil || serr != nil || len(b) != sha1.Size || size < 0 {
		return fmt.Errorf("checksum or size of %s", clip(name))
	}
	l := listed{size: size, control: [sha1.Size]byte(b)}
	if old, there := files[name]; there && old != l {
		return fmt.Errorf("two contents of %s", clip(name))
	}
	if files[name] = l; len(files) > recordsLimit {
		return fmt.Errorf("more than %d packages", recordsLimit)
	}
	return nil
}

// readIndex returns what r, an APKINDEX.tar.gz whose signatures were judged, says. What does not read is errs.Untrusted.
func readIndex(r io.Reader) (*index, error) {
	m := newMembers(r)
	_, _, files, err := m.begin()
	if err != nil {
		return nil, err
	}
	files.r.n = indexLimit
	x := &index{}
	for err == nil {
		if files.h.Name == "APKINDEX" {
			if x.files != nil {
				return nil, errs.Errorf(errs.Untrusted, "two files APKINDEX")
			}
			if x.files, err = parseIndex(files.t); err != nil {
				return nil, errs.E(errs.Untrusted, fmt.Errorf("APKINDEX: %w", err))
			}
			if files.h.ModTime.Unix() > 0 {
				x.made = files.h.ModTime
			}
		}
		err = files.next()
	}
	if err := files.end(err); err != nil {
		return nil, err
	}
	if x.files == nil {
		return nil, errs.Errorf(errs.Untrusted, "no file APKINDEX in it")
	}
	if _, err := m.next(); !errors.Is(err, io.EOF) {
		return nil, errs.Errorf(errs.Untrusted, "more after its content")
	}
	return x, nil
}
