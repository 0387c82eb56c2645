package plain

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/lockfile"
	"overland/internal/record"
)

// Limits of a file of pins, in bytes.
const (
	pinsLimit = 4 << 20
	lineLimit = 8 << 10
)

// Pins are the digests that URLs must have, by URL as in a lock's key.
type Pins map[string]digest.Digest

// ParsePins reads lines as sha256sum writes them, "DIGITS  URL"; empty ones and those that start
// with "#" are left out. Anything else, and a URL with two digests, is errs.Invalid.
func ParsePins(r io.Reader) (Pins, error) {
	lines := bufio.NewScanner(fsx.Limit(r, pinsLimit))
	lines.Buffer(make([]byte, 0, lineLimit), lineLimit)
	pins := Pins{}
	n := 0
	for lines.Scan() {
		n++
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		if err := pins.add(text); err != nil {
			return nil, errs.Errorf(errs.Invalid, "line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, errs.Errorf(errs.Invalid, "line %d: %w", n+1, err)
	}
	return pins, nil
}

func (p Pins) add(line string) error {
	hex, rest, _ := strings.Cut(line, " ")
	d, err := digest.Parse("sha256:" + hex)
	if err != nil {
		return fmt.Errorf("not a sha256 and a URL: %w", err)
	}
	raw, err := url.Parse(strings.TrimPrefix(strings.TrimSpace(rest), "*")) // sha256sum marks binary files so
	if err != nil {
		return err
	}
	_, key, _, err := canonical(raw)
	if err != nil {
		return err
	}
	if old, twice := p[key]; twice && old != d {
		return fmt.Errorf("two digests of %s", key)
	}
	p[key] = d
	return nil
}

// Hold returns l with the pins as the proof of what it has of them; errs.Untrusted
// when something else is locked.
func (p Pins) Hold(l *lockfile.Lock) (*lockfile.Lock, error) {
	held := *l
	held.Entries = slices.Clone(l.Entries)
	for i, e := range held.Entries {
		want, pinned := p[e.Key]
		switch {
		case e.Protocol != Name || !pinned || !e.Exists():
		case e.Blob != want:
			return nil, errs.Hint(errs.Errorf(errs.Untrusted, "%s: locked is %s, pinned is %s", e.Key, e.Blob, want),
				"one of them is wrong: correct the pin, or fetch it again with overland lock update -- COMMAND")
		default:
			held.Entries[i].Proof = proofOf(want)
		}
	}
	return &held, nil
}

func proofOf(d digest.Digest) lockfile.Proof { return lockfile.Proof{Kind: ProofPin, Value: string(d)} }

// Proves implements record.Doubter: only a pin proves anything.
func (p Protocol) Proves(it record.Item) bool {
	_, pinned := p.Pins[it.Key]
	return pinned
}
