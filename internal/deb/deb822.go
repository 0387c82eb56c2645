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
	only  map[string]string // fields that are kept, by their names; nil = all
	lower []byte            // the name of the last field
	line  int
	size  int // bytes of the paragraph so far
}

// NewDecoder returns a Decoder of r that keeps only the fields of these names (in
// lower case); without names, all.
func NewDecoder(r io.Reader, only ...string) *Decoder {
	d := &Decoder{r: bufio.NewReaderSize(r, 64<<10)}
	for _, name := range only {
		if d.only == nil {
			d.only = map[string]string{}
		}
		d.only[name] = name
	}
	return d
}

// Line returns the number of the line that Next stopped at, from 1: that of an error
// in what it returned is above it.
func (d *Decoder) Line() int { return d.line }

// Next returns the next paragraph, or io.EOF after the last one. A syntax error is errs.Invalid and
// names the line. A paragraph that has none of the wanted fields is returned empty.
func (d *Decoder) Next() (Paragraph, error) {
	p := Paragraph{}
	d.size = 0
	fields, name, keep := 0, "", false
	var value []byte
	flush := func() {
		if keep {
			p[name] = string(value)
		}
		value, keep = value[:0], false
	}
	for {
		line, err := d.readLine()
		if err != nil && (!errors.Is(err, io.EOF) || line == nil) {
			if errors.Is(err, io.EOF) && fields > 0 {
				flush()
				return p, nil
			}
			return nil, err
		}
		switch {
		case len(line) > 0 && line[0] == '#':
		case blank(line):
			if fields > 0 {
				flush()
				return p, nil
			}
		case line[0] == ' ' || line[0] == '\t':
			if fields == 0 {
				return nil, d.errorf("a continuation without a field")
			}
			if keep {
				value = append(append(value, '\n'), line[1:]...)
			}
		default:
			flush()
			if fields++; fields > fieldLimit {
				return nil, d.errorf("more than %d fields", fieldLimit)
			}
			var rest []byte
			if name, rest, err = d.field(line); err != nil {
				return nil, err
			}
			if keep = name != ""; keep {
				if _, twice := p[name]; twice {
					return nil, d.errorf("field %q appears twice", name)
				}
				value = append(value, bytes.TrimSpace(rest)...)
			}
		}
	}
}

// field returns the name, in lower case, and the value of a line "Name: value". A field that is not kept has the
// name "".
func (d *Decoder) field(line []byte) (string, []byte, error) {
	d.lower = d.lower[:0]
	for i, c := range line {
		switch {
		case c == ':' && i > 0 && line[0] != '-':
			if d.only == nil {
				return string(d.lower), line[i+1:], nil
			}
			return d.only[string(d.lower)], line[i+1:], nil
		case c <= ' ' || c > '~' || c == ':':
			return "", nil, d.errorf("not a field name")
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		d.lower = append(d.lower, c)
	}
	return "", nil, d.errorf("a line without a colon")
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
