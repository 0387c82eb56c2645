package tree

import (
	"bytes"
	"errors"
	"io"
)

const (
	window    = 256 << 10
	maxRoot   = 4096 // bytes of a path
	textSniff = 8 << 10
	showPath  = 120 // characters of what is found
)

// span is a part of a file: from ≤ offset < to.
type span struct{ from, to int64 }

// scan refuses a file that holds the path of a root outside of what program says is harmless.
func (p *packer) scan(f io.ReaderAt, rel string, program program) error {
	for _, root := range p.roots {
		found, err := find(io.NewSectionReader(f, 0, 1<<62), []byte(root), program.harmless)
		if err != nil {
			return err
		}
		switch {
		case found == nil:
			continue
		case found.line == 1 && bytes.HasPrefix(found.start, []byte("#!")):
			p.refuse(rel, "its first line runs %s", found.text)
		case found.line > 0:
			p.refuse(rel, "line %d holds %s", found.line, found.text)
		default:
			p.refuse(rel, "byte %d holds %s", found.off, found.text)
		}
	}
	return nil
}

// finding is where a path stands.
type finding struct {
	off   int64
	line  int64  // in a text, from 1; 0 in other files
	text  string // the path, with what follows it
	start []byte // of the file
}

// find returns the first place outside of harmless where r holds the
// path root; nil when it does not.
func find(r io.Reader, root []byte, harmless []span) (*finding, error) {
	keep := len(root) + 1
	buf := make([]byte, 0, window+maxRoot)
	var start []byte
	base, line, isText := int64(0), int64(1), true
	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return nil, err
		}
		if start == nil {
			start = bytes.Clone(buf[:min(textSniff, len(buf))])
			isText = !bytes.Contains(start, []byte{0})
		}
		for at := 0; ; {
			i := bytes.Index(buf[at:], root)
			if i < 0 {
				break
			}
			at += i
			if !end && at+keep > len(buf) {
				break // what follows it is not there yet
			}
			if off := base + int64(at); ends(buf[at+len(root):]) && !inSpan(harmless, off, off+int64(len(root))) {
				f := &finding{off: off, text: shown(buf[at:]), start: start}
				if isText {
					f.line = line + int64(bytes.Count(buf[:at], []byte("\n")))
				}
				return f, nil
			}
			at += len(root)
		}
		if end {
			return nil, nil // it is not there
		}
		drop := len(buf) - keep + 1
		line += int64(bytes.Count(buf[:drop], []byte("\n")))
		base += int64(drop)
		buf = buf[:copy(buf, buf[drop:])]
	}
}

// ends reports whether a path that is followed by rest ends there:
// /opt/app is not /opt/application.
func ends(rest []byte) bool {
	if len(rest) == 0 {
		return true
	}
	c := rest[0]
	return c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
}

// shown returns the path that b begins with, for people.
func shown(b []byte) string {
	b = b[:min(len(b), showPath)]
	if i := bytes.IndexFunc(b, func(r rune) bool { return r <= ' ' || r == '"' || r == '\'' || r == ':' || r == 0x7f || r == 0xfffd }); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

func inSpan(list []span, from, to int64) bool {
	for _, s := range list {
		if s.from <= from && to <= s.to {
			return true
		}
	}
	return false
}
