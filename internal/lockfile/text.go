package lockfile

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

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// line is an Entry as it is written: the fields in this order, the usual values left out.
type line struct {
	Protocol string        `json:"protocol"`
	Key      string        `json:"key"`
	Asked    Fields        `json:"asked,omitempty"`
	Status   int           `json:"status,omitempty"` // 0 = 200
	Blob     digest.Digest `json:"blob,omitempty"`
	Size     int64         `json:"size,omitempty"`
	Media    string        `json:"media,omitempty"`
	Header   Fields        `json:"header,omitempty"`
	Mutable  bool          `json:"mutable,omitempty"`
	Proof    *Proof        `json:"proof,omitempty"`
}

// Parse reads a lock of at most limit bytes (0 = Limit). Lines may stand in any order, as a merge
// leaves them; anything else that Write would not write is refused (errs.Invalid).
func Parse(r io.Reader, limit int64) (*Lock, error) {
	if limit <= 0 {
		limit = Limit
	}
	lines := bufio.NewScanner(fsx.Limit(r, limit))
	lines.Buffer(make([]byte, 0, LineLimit), LineLimit)
	var entries []Entry
	n := 0
	for lines.Scan() {
		n++
		if n == 1 {
			if want := fmt.Sprintf("%s %d", Name, version); lines.Text() != want {
				return nil, errs.Errorf(errs.Invalid, "line 1: not a lock of a version that this program reads (%q)", want)
			}
			continue
		}
		e, err := parseLine(lines.Bytes())
		if isConflictMark(lines.Bytes()) {
			err = errs.Hint(errors.New("an unresolved merge conflict"),
				"delete the marks and keep the lines of both sides; of two lines with the same key keep one")
		}
		if err != nil {
			return nil, errs.Errorf(errs.Invalid, "line %d: %w", n, err)
		}
		entries = append(entries, e)
	}
	switch err := lines.Err(); {
	case err != nil:
		return nil, errs.Errorf(errs.Invalid, "line %d: %w", n+1, err)
	case len(entries) > entryLimit:
		return nil, errs.Errorf(errs.Invalid, "a lock has at most %d lines", entryLimit)
	case n == 0:
		return nil, errs.Errorf(errs.Invalid, "the file is empty: not a lock")
	}
	l := New(entries)
	for i := 1; i < len(entries); i++ {
		if compare(entries[i-1], entries[i]) == 0 {
			return nil, errs.Errorf(errs.Invalid, "two lines for %s %s", entries[i].Protocol, entries[i].Key)
		}
	}
	return l, nil
}

// isConflictMark reports whether git marks with the line b what it could not merge.
func isConflictMark(b []byte) bool {
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
	if err := checkNames(b); err != nil {
		return Entry{}, err
	}
	e := Entry{
		Protocol: w.Protocol, Key: w.Key, Asked: w.Asked, Status: cmp.Or(w.Status, http.StatusOK), Blob: w.Blob, Size: w.Size,
		MediaType: w.Media, Header: w.Header, Mutable: w.Mutable,
	}
	if w.Proof != nil {
		e.Proof = *w.Proof
	}
	return e, e.check()
}

// checkNames refuses the JSON object b in which a name stands twice, or in other letters: encoding/json takes
// the last of "key", "Key" and "key", and people who review a lock read the first.
func checkNames(b []byte) error {
	var seen []string
	for i := 0; i < len(b); i++ {
		if b[i] != '"' {
			continue
		}
		from := i + 1
		for i++; b[i] != '"'; i++ {
			if b[i] == '\\' {
				i++
			}
		}
		if rest := bytes.TrimLeft(b[i+1:], " \t\r\n"); !bytes.HasPrefix(rest, []byte(":")) {
			continue // a value
		}
		name := string(b[from:i])
		known := false
		switch name {
		case "protocol", "key", "asked", "status", "blob", "size", "media", "header", "mutable", "proof", "kind", "value":
			known = true
		}
		if !known || slices.Contains(seen, name) {
			return fmt.Errorf("the name %q is not a lock's, or stands there twice", name)
		}
		seen = append(seen, name)
	}
	return nil
}

// Write writes l: the same text for the same entries.
func (l *Lock) Write(w io.Writer) error {
	list := slices.Clone(l.Entries)
	slices.SortFunc(list, compare)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %d\n", Name, version)
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	for _, e := range list {
		if err := e.check(); err != nil {
			return errs.Errorf(errs.Invalid, "lock: %w", err)
		}
		o := line{
			Protocol: e.Protocol, Key: e.Key, Asked: e.Asked, Blob: e.Blob, Size: e.Size, Media: e.MediaType,
			Header: e.Header, Mutable: e.Mutable,
		}
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
