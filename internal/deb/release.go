package deb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"overland/internal/errs"
)

// ReleaseLimit is how long an InRelease may be, in bytes; the largest one known has 300 KB.
const ReleaseLimit = 8 << 20

const (
	releaseFiles = 100000           // files that an InRelease may list
	futureLimit  = 10 * time.Second // that an InRelease may be ahead of the clock; apt's own Max-FutureTime
)

// Release is what the text of an InRelease says.
type Release struct {
	Suite, Codename string
	Date            time.Time
	ValidUntil      time.Time       // zero: the archive sets none
	ByHash          bool            // the archive serves indexes by their digest too
	Files           map[string]File // by path below the directory of the InRelease
}

// ParseRelease returns what text, the signed part of an InRelease, says; errs.Invalid when it is
// not a Release or lists more than 100,000 files.
func ParseRelease(text []byte) (*Release, error) {
	d := NewDecoder(bytes.NewReader(text))
	p, err := d.Next()
	if err != nil {
		return nil, notRelease(err)
	}
	if _, err := d.Next(); !errors.Is(err, io.EOF) {
		return nil, errs.Errorf(errs.Invalid, "release: more than one paragraph")
	}
	r := &Release{Suite: p["suite"], Codename: p["codename"], ByHash: p["acquire-by-hash"] == "yes", Files: map[string]File{}}
	if r.Date, err = parseDate(p["date"]); err != nil {
		return nil, notRelease(err)
	}
	if v, set := p["valid-until"]; set {
		if r.ValidUntil, err = parseDate(v); err != nil {
			return nil, notRelease(err)
		}
	}
	for _, field := range []string{"sha256", "sha512"} {
		if err := r.list(p[field], field); err != nil {
			return nil, notRelease(err)
		}
	}
	return r, nil
}

func notRelease(err error) error {
	if errors.Is(err, io.EOF) {
		err = errors.New("it is empty")
	}
	return errs.E(errs.Invalid, fmt.Errorf("release: %w", err))
}

// list adds the files of a field "SHA256" or "SHA512": lines of digest, size and path.
func (r *Release) list(value, field string) error {
	for line := range strings.Lines(value) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return fmt.Errorf("%s: %.100q is not digest, size and path", field, line)
		}
		size, err := parseSize(words[1])
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		name, f := words[2], File{}
		if old, there := r.Files[name]; there {
			if f = old; f.Size != size {
				return fmt.Errorf("%s: two sizes of %.100s", field, name)
			}
		} else if len(r.Files) == releaseFiles {
			return fmt.Errorf("%s: more than %d files", field, releaseFiles)
		}
		f.Size = size
		into, digits := &f.SHA256, 64
		if field == "sha512" {
			into, digits = &f.SHA512, 128
		}
		if !isHex(words[0], digits) {
			return fmt.Errorf("%s: bad digest of %.100s", field, name)
		}
		if *into != "" && *into != words[0] {
			return fmt.Errorf("%s: two digests of %.100s", field, name)
		}
		*into = words[0]
		r.Files[name] = f
	}
	return nil
}

// CheckDates returns errs.Untrusted when r has expired at now, or was made more than 10 s after it.
func (r *Release) CheckDates(now time.Time) error {
	if !r.ValidUntil.IsZero() && now.After(r.ValidUntil) {
		return errs.Hint(errs.Errorf(errs.Untrusted, "expired on %s", r.ValidUntil.Format(time.RFC3339)),
			"the mirror is stale or frozen: choose another one, or say Check-Valid-Until: no in the source of a snapshot")
	}
	if r.Date.After(now.Add(futureLimit)) {
		return errs.Hint(errs.Errorf(errs.Untrusted, "made on %s, which is in the future", r.Date.Format(time.RFC3339)),
			"set this machine's clock")
	}
	return nil
}

// CheckSuite returns errs.Untrusted when r is of another suite than the one asked for: its suite or
// its codename, or the codename with a path after it, as old security archives have
// ("name/updates"). Anything will do for "", and for an archive that says neither.
func (r *Release) CheckSuite(asked string) error {
	if asked == "" || r.Suite == "" && r.Codename == "" {
		return nil
	}
	first, _, _ := strings.Cut(asked, "/")
	if asked != r.Suite && asked != r.Codename && first != r.Codename {
		return errs.Hint(errs.Errorf(errs.Untrusted, "it is the InRelease of %q (%s), not of %q", r.Suite, r.Codename, asked),
			"name the suite %s in the source, or choose another mirror", r.Codename)
	}
	return nil
}

// Find returns what r says of the index at rest, a path below the directory of the InRelease: its
// name, or "…/by-hash/SHA256/HEX".
func (r *Release) Find(rest string) (File, bool) {
	names := r.Names(rest)
	if len(names) == 0 {
		return File{}, false
	}
	return r.Files[names[0]], true
}

// Names returns what r calls the index at rest: rest itself, or all names of its folder
// that have its digest, in no order.
func (r *Release) Names(rest string) []string {
	dir, want, ok := ByHash(rest)
	if !ok {
		if _, ok := r.Files[rest]; !ok {
			return nil
		}
		return []string{rest}
	}
	var list []string
	for name, f := range r.Files {
		is := want.SHA256 != "" && f.SHA256 == want.SHA256 || want.SHA512 != "" && f.SHA512 == want.SHA512
		if is && strings.TrimPrefix(path.Dir(name), ".") == dir {
			list = append(list, name)
		}
	}
	return list
}

// ByHash takes "dir/by-hash/SHA256/HEX" or "dir/by-hash/SHA512/HEX" apart:
// want has the digest, and no size.
func ByHash(rest string) (dir string, want File, ok bool) {
	head, sum := path.Split(rest)
	switch {
	case strings.HasSuffix(head, "by-hash/SHA256/") && isHex(sum, 64):
		want.SHA256 = sum
	case strings.HasSuffix(head, "by-hash/SHA512/") && isHex(sum, 128):
		want.SHA512 = sum
	default:
		return "", want, false
	}
	return strings.TrimSuffix(path.Dir(path.Dir(path.Clean(head))), "."), want, true
}

// parseDate reads a date of a Release file: RFC 2822, in UTC.
func parseDate(s string) (time.Time, error) {
	for _, zone := range []string{" UTC", " GMT", " +0000"} {
		if day, ok := strings.CutSuffix(s, zone); ok {
			return time.Parse("Mon, _2 Jan 2006 15:04:05", day)
		}
	}
	return time.Time{}, fmt.Errorf("date %.100q is not in UTC", s)
}
