package runtime

import (
	"bytes"
	"iter"
)

// lineBuffer cuts a stream into lines. A line longer than logLine is cut into several.
type lineBuffer struct{ rest []byte }

// add yields the lines that b completes, without their ends; each is valid until the next.
func (l *lineBuffer) add(b []byte) iter.Seq[[]byte] {
	l.rest = append(l.rest, b...)
	return func(yield func([]byte) bool) {
		for {
			line, rest, found := bytes.Cut(l.rest, []byte("\n"))
			switch {
			case found:
			case len(l.rest) > logLine:
				line, rest = l.rest, nil
			default:
				l.rest = bytes.Clone(l.rest)
				return
			}
			l.rest = rest
			if !yield(line) {
				return
			}
		}
	}
}

// output keeps the first bytes of what a check printed and looks for a text in all of it.
type output struct {
	kept  []byte
	want  []byte
	found bool
	tail  []byte // the last len(want)-1 bytes: the text may come in two writes
}

// outputLimit is how much of a check's output is kept, in bytes.
const outputLimit = 4 << 10

func newOutput(want string) *output { return &output{want: []byte(want), found: want == ""} }

// Write never fails: a check must not die of a full buffer.
func (o *output) Write(p []byte) (int, error) {
	if room := outputLimit - len(o.kept); room > 0 {
		o.kept = append(o.kept, p[:min(room, len(p))]...)
	}
	if !o.found {
		seen := append(o.tail, p...)
		o.found = bytes.Contains(seen, o.want)
		o.tail = bytes.Clone(seen[max(0, len(seen)-len(o.want)+1):])
	}
	return len(p), nil
}
