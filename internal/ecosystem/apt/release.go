package apt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"

	"overland/internal/errs"
)

const (
	releaseLimit = 8 << 20          // bytes of an InRelease
	releaseFiles = 100000           // files that an InRelease may list
	futureLimit  = 10 * time.Second // that an InRelease may be ahead of the clock; apt's own Max-FutureTime
)

// listed is what an InRelease or an index says of a file.
type listed struct {
	Size   int64
	SHA256 string // 64 lower-case hex digits; "" when not given
	SHA512 string
}

// release is what the text of an InRelease says.
type release struct {
	Suite, Codename string
	Date            time.Time
	ValidUntil      time.Time         // zero: the archive sets none
	ByHash          bool              // indexes can be had by their digest too
	Files           map[string]listed // by path below the directory of the InRelease
}

// signedText returns the text of a clear-signed message without judging the signature: for an InRelease that was
// verified when it was stored.
func signedText(b []byte) ([]byte, error) {
	block, _ := clearsign.Decode(b)
	if block == nil {
		return nil, errs.Errorf(errs.Untrusted, "not a clear-signed message")
	}
	return block.Plaintext, nil
}

// parseRelease returns what the text of a Release says (errs.Invalid when it is not one).
func parseRelease(text []byte) (*release, error) {
	d := newDecoder(bytes.NewReader(text))
	p, err := d.next()
	if err != nil {
		return nil, notRelease(err)
	}
	if _, err := d.next(); !errors.Is(err, io.EOF) {
		return nil, errs.Errorf(errs.Invalid, "release: more than one paragraph")
	}
	r := &release{Suite: p["suite"], Codename: p["codename"], ByHash: p["acquire-by-hash"] == "yes", Files: map[string]listed{}}
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
func (r *release) list(value, field string) error {
	for line := range strings.Lines(value) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return fmt.Errorf("%s: %q is not digest, size and path", field, clip(line))
		}
		size, err := parseSize(words[1])
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		name, f := words[2], listed{}
		if old, there := r.Files[name]; there {
			if f = old; f.Size != size {
				return fmt.Errorf("%s: two sizes of %s", field, clip(name))
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
			return fmt.Errorf("%s: bad digest of %s", field, clip(name))
		}
		if *into != "" && *into != words[0] {
			return fmt.Errorf("%s: two digests of %s", field, clip(name))
		}
		*into = words[0]
		r.Files[name] = f
	}
	return nil
}

// judge returns errs.Untrusted when r is expired or from the future at now, or is not of the suite that was asked for.
func (r *release) judge(suite string, now time.Time, anyDate bool) error {
	if !r.ValidUntil.IsZero() && now.After(r.ValidUntil) && !anyDate {
		return errs.Hint(errs.Errorf(errs.Untrusted, "expired on %s", r.ValidUntil.Format(time.RFC3339)),
			"the mirror is stale or frozen: choose another one, or say Check-Valid-Until: no in the source of a snapshot")
	}
	if r.Date.After(now.Add(futureLimit)) && !anyDate {
		return errs.Hint(errs.Errorf(errs.Untrusted, "made on %s, which is in the future", r.Date.Format(time.RFC3339)),
			"set this machine's clock")
	}
	if suite == "" || r.Suite == "" && r.Codename == "" {
		return nil
	}
	first, _, _ := strings.Cut(suite, "/") // of "name/updates", as old security archives are called
	if suite != r.Suite && suite != r.Codename && first != r.Codename {
		return errs.Hint(errs.Errorf(errs.Untrusted, "it is the InRelease of %q (%s), not of %q", r.Suite, r.Codename, suite),
			"name the suite %s in the source, or choose another mirror", r.Codename)
	}
	return nil
}

// parseDate reads a date of a Release file: RFC 2822, in UTC.
func parseDate(s string) (time.Time, error) {
	for _, zone := range []string{" UTC", " GMT", " +0000"} {
		if day, ok := strings.CutSuffix(s, zone); ok {
			return time.Parse("Mon, _2 Jan 2006 15:04:05", day)
		}
	}
	return time.Time{}, fmt.Errorf("date %q is not in UTC", clip(s))
}

func parseSize(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("size %q", clip(s))
	}
	return int64(n), nil
}

func isHex(s string, digits int) bool {
	if len(s) != digits || strings.ToLower(s) != s {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil
}

func clip(s string) string {
	const longest = 100
	if len(s) > longest {
		return s[:longest] + "…"
	}
	return s
}
