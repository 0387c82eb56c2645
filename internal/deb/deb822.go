package deb

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"overland/internal/errs"
)

const (
	paragraphLimit = 8 << 20 // bytes; the largest one known is the Release of a big suite, 300 KB
	fieldLimit     = 1000    // fields of a paragraph
)

// Paragraph is one block of fields, by their names in lower case. The lines of a value are joined
// by "\n", each without the space that it began with.
type Paragraph map[string]string

// Decoder reads the paragraphs of a deb822 file (deb822(5)), which may be of any
// length: one paragraph, at most 8 MiB and 1000 fields, is in memory at a time. Lines
// that begin with "#" are comments.
type Decoder struct {
	r     *bufio.Reader
	names []string       // of the fields that are kept; nil = all
	index map[string]int // of names
	line  int
	size  int // bytes of the paragraph so far

	// Of the last paragraph, written over by the next one: an index has a million fields.
	lower []byte // the name of its last field
	text  []byte // all values that are kept
	found []found
	row   []string
}

// found is a field whose value is text[from:to] of its Decoder.
type found struct {
	name     string
	at       int // in names
	from, to int
}

// NewDecoder returns a Decoder of r that keeps only the fields of these names (in
// lower case); without names, all.
func NewDecoder(r io.Reader, only ...string) *Decoder {
	d := &Decoder{r: bufio.NewReaderSize(r, 64<<10), names: only, row: make([]string, len(only))}
	if only != nil {
		d.index = map[string]int{}
	}
	for i, name := range only {
		d.index[name] = i
	}
	return d
}

// Line returns the number of the line that Next stopped at, from 1: that of an error
// in what it returned is above it.
func (d *Decoder) Line() int { return d.line }

// Next returns the next paragraph, or io.EOF after the last one. A syntax error is errs.Invalid and
// names the line. A paragraph that has none of the wanted fields is returned empty.
func (d *Decoder) Next() (Paragraph, error) {
	if err := d.read(); err != nil {
		return nil, err
	}
	p := Paragraph{}
	for _, f := range d.found {
		p[f.name] = string(d.text[f.from:f.to])
	}
	return p, nil
}

// next is Next for a Decoder with names: the value of each, "" when it is not there, in a slice that the next call
// writes over. The values are parts of one string.
func (d *Decoder) next() ([]string, error) {
	if err := d.read(); err != nil {
		return nil, err
	}
	clear(d.row)
	text := string(d.text)
	for _, f := range d.found {
		d.row[f.at] = text[f.from:f.to]
	}
	return d.row, nil
}

// read reads the next paragraph into text and found.
func (d *Decoder) read() error {
	d.size, d.text, d.found = 0, d.text[:0], d.found[:0]
	fields, keep := 0, false
	for {
		line, err := d.readLine()
		if err != nil && (!errors.Is(err, io.EOF) || line == nil) {
			if errors.Is(err, io.EOF) && fields > 0 {
				return nil
			}
			return err
		}
		switch {
		case len(line) > 0 && line[0] == '#':
		case blank(line):
			if fields > 0 {
				return nil
			}
		case line[0] == ' ' || line[0] == '\t':
			if fields == 0 {
				return d.errorf("a continuation without a field")
			}
			if keep {
				d.text = append(append(d.text, '\n'), line[1:]...)
				d.found[len(d.found)-1].to = len(d.text)
			}
		default:
			if fields++; fields > fieldLimit {
				return d.errorf("more than %d fields", fieldLimit)
			}
			if keep, err = d.field(line); err != nil {
				return err
			}
		}
	}
}

// field takes the line "Name: value" in, and reports whether the field is kept.
func (d *Decoder) field(line []byte) (keep bool, err error) {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return false, d.errorf("a line without a colon")
	}
	d.lower = d.lower[:0]
	for _, c := range line[:colon] {
		switch {
		case c <= ' ' || c > '~':
			return false, d.errorf("not a field name")
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		d.lower = append(d.lower, c)
	}
	if colon == 0 || line[0] == '-' {
		return false, d.errorf("not a field name")
	}
	f := found{from: len(d.text)}
	if d.names == nil {
		f.name = string(d.lower)
	} else if f.at, keep = d.index[string(d.lower)]; keep {
		f.name = d.names[f.at]
	} else {
		return false, nil
	}
	for _, other := range d.found {
		if other.name == f.name {
			return false, d.errorf("field %q appears twice", f.name)
		}
	}
	d.text = append(d.text, bytes.TrimSpace(line[colon+1:])...)
	f.to = len(d.text)
	d.found = append(d.found, f)
	return true, nil
}

// readLine returns the next line without its line feed, which the last one may lack; valid until
// the next call. At the end of the file it returns nil and io.EOF.
func (d *Decoder) readLine() ([]byte, error) {
	d.line++
	line, err := d.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := append([]byte(nil), line...)
		for errors.Is(err, bufio.ErrBufferFull) && d.size+len(long) <= paragraphLimit {
			line, err = d.r.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if d.size += len(line); d.size > paragraphLimit {
		return nil, d.errorf("a paragraph of more than %d bytes", paragraphLimit)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: %w", d.line, err)
	}
	if len(line) == 0 {
		return nil, io.EOF
	}
	n := len(line)
	if line[n-1] == '\n' {
		n--
	}
	if n > 0 && line[n-1] == '\r' {
		n--
	}
	if bytes.IndexByte(line[:n], 0) >= 0 {
		return nil, d.errorf("a NUL byte")
	}
	return line[:n:n], nil
}

func (d *Decoder) errorf(format string, args ...any) error {
	return errs.Errorf(errs.Invalid, "line %d: %s", d.line, fmt.Sprintf(format, args...))
}

func blank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' {
			return false
		}
	}
	return true
}
