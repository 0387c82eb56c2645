package record

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
)

// LockName is the file that holds a lock, in an application's repository.
const LockName = "overland.lock"

// Limits of a lock.
const (
	LockLimit  = 64 << 20 // bytes
	KeyLimit   = 4 << 10  // bytes of one key
	lineLimit  = 16 << 10 // bytes
	entryLimit = 200_000
)

const lockVersion = 1

// Lock is every input of a build. The zero value is an empty lock.
type Lock struct {
	Version int     // 0 or 1
	Entries []Entry // sorted by protocol and key, each once
}

// line is an Entry as it is written: the fields in this order, what is usual left out.
type line struct {
	Protocol string        `json:"protocol"`
	Key      string        `json:"key"`
	Status   int           `json:"status,omitempty"` // 0 = 200
	Blob     digest.Digest `json:"blob,omitempty"`
	Size     int64         `json:"size,omitempty"`
	Media    string        `json:"media,omitempty"`
	Mutable  bool          `json:"mutable,omitempty"`
	Proof    *Proof        `json:"proof,omitempty"`
}

// ParseLock reads a lock of at most limit bytes (0 = LockLimit). Lines may stand in any order, as a merge leaves them;
// anything else that Write would not write is refused (errs.Invalid).
func ParseLock(r io.Reader, limit int64) (*Lock, error) {
	if limit <= 0 {
		limit = LockLimit
	}
	in := &io.LimitedReader{R: r, N: limit + 1}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, lineLimit), lineLimit)
	l := &Lock{Version: lockVersion}
	n := 0
	for lines.Scan() {
		n++
		if n == 1 {
			if want := fmt.Sprintf("%s %d", LockName, lockVersion); lines.Text() != want {
				return nil, errs.Errorf(errs.Invalid, "line 1: not a lock of a version that this program reads (%q)", want)
			}
			continue
		}
		e, err := parseLine(lines.Bytes())
		if isMark(lines.Bytes()) {
			err = errs.Hint(errors.New("a merge left both sides here"), "drop the marks, keep the lines of both sides; of two with one key keep one")
		}
		if err != nil {
			return nil, errs.Errorf(errs.Invalid, "line %d: %w", n, err)
		}
		l.Entries = append(l.Entries, e)
	}
	switch err := lines.Err(); {
	case err != nil:
		return nil, errs.Errorf(errs.Invalid, "line %d: %w", n+1, err)
	case in.N == 0 || len(l.Entries) > entryLimit:
		return nil, errs.Errorf(errs.Invalid, "a lock of more than %d bytes or %d lines", limit, entryLimit)
	case n == 0:
		return nil, errs.Errorf(errs.Invalid, "an empty file is no lock")
	}
	slices.SortFunc(l.Entries, compare)
	for i := 1; i < len(l.Entries); i++ {
		if compare(l.Entries[i-1], l.Entries[i]) == 0 {
			return nil, errs.Errorf(errs.Invalid, "%s %s is there twice", l.Entries[i].Protocol, l.Entries[i].Key)
		}
	}
	return l, nil
}

// isMark reports whether b is a line with which git marks what it could not merge.
func isMark(b []byte) bool {
	for _, mark := range []string{"<<<<<<<", "|||||||", "=======", ">>>>>>>"} {
		if bytes.HasPrefix(b, []byte(mark)) {
			return true
		}
	}
	return false
}

func parseLine(b []byte) (Entry, error) {
	var w line
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return Entry{}, err
	}
	if d.InputOffset() != int64(len(b)) {
		return Entry{}, fmt.Errorf("text after the entry")
	}
	e := Entry{
		Protocol: w.Protocol, Key: w.Key, Status: cmp.Or(w.Status, http.StatusOK), Blob: w.Blob, Size: w.Size,
		MediaType: w.Media, Mutable: w.Mutable,
	}
	if w.Proof != nil {
		e.Proof = *w.Proof
	}
	return e, e.check()
}

// check returns what is wrong with e as a line of a lock.
func (e Entry) check() error {
	switch {
	case e.Protocol == "" || strings.Trim(e.Protocol, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return fmt.Errorf("protocol %q", e.Protocol)
	case e.Key == "" || len(e.Key) > KeyLimit || strings.ContainsFunc(e.Key, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("key %q", e.Key[:min(len(e.Key), 100)])
	case isFact(e.Status):
		if e.Blob != "" || e.Size != 0 {
			return fmt.Errorf("%s has the status of what has no content, and content", e.Key)
		}
		return nil
	case e.Status != http.StatusOK:
		return fmt.Errorf("%s: status %d", e.Key, e.Status)
	case e.Size < 0:
		return fmt.Errorf("%s: size %d", e.Key, e.Size)
	}
	_, err := digest.Parse(string(e.Blob))
	return err
}

// Write writes l: the same text for the same entries.
func (l *Lock) Write(w io.Writer) error {
	list := slices.Clone(l.Entries)
	slices.SortFunc(list, compare)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %d\n", LockName, lockVersion)
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	for _, e := range list {
		if err := e.check(); err != nil {
			return errs.Errorf(errs.Invalid, "lock: %w", err)
		}
		o := line{Protocol: e.Protocol, Key: e.Key, Blob: e.Blob, Size: e.Size, Media: e.MediaType, Mutable: e.Mutable}
		if e.Status != http.StatusOK {
			o.Status = e.Status
		}
		if e.Proof != (Proof{}) {
			o.Proof = &e.Proof
		}
		if err := out.Encode(o); err != nil {
			return err
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Find returns the entry of protocol and key.
func (l *Lock) Find(protocol, key string) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(l.Entries, Entry{Protocol: protocol, Key: key}, compare)
	if !ok {
		return Entry{}, false
	}
	return l.Entries[i], true
}

// Change is one difference between two locks: Old or New is nil for what was added or removed.
type Change struct{ Old, New *Entry }

// Diff returns what differs from a to b, sorted by protocol and key.
func Diff(a, b *Lock) []Change {
	var list []Change
	x, y := a.Entries, b.Entries
	for len(x) > 0 || len(y) > 0 {
		var order int
		switch {
		case len(x) == 0:
			order = 1
		case len(y) == 0:
			order = -1
		default:
			order = compare(x[0], y[0])
		}
		switch {
		case order < 0:
			list, x = append(list, Change{Old: &x[0]}), x[1:]
		case order > 0:
			list, y = append(list, Change{New: &y[0]}), y[1:]
		default:
			if x[0] != y[0] {
				list = append(list, Change{Old: &x[0], New: &y[0]})
			}
			x, y = x[1:], y[1:]
		}
	}
	return list
}

// compare orders entries as a lock does.
func compare(a, b Entry) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Key, b.Key))
}

// Holds reports whether l has an entry of protocol.
func (l *Lock) Holds(protocol string) bool {
	return slices.ContainsFunc(l.Entries, func(e Entry) bool { return e.Protocol == protocol })
}
