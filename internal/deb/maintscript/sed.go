package maintscript

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// step is one command of a sed script.
type step struct {
	from, to *address // nil = every line; to nil = what from names alone
	not      bool
	do       byte // s d p q { }
	re       *regexp.Regexp
	with     string // Go's form
	all      bool   // of s: every match
	print    bool   // of s: p
	nth      int
	block    []*step
	inside   bool // between from and to
}

// address names lines: by number, the last, or by a pattern.
type address struct {
	line int
	end  bool
	re   *regexp.Regexp
}

// sed does what maintainer scripts use of sed: addresses, s, d, p, q, blocks, -n, -e, -i, -E and -r.
func sed(c *call) error {
	f := c.options()
	quiet, extended, alsoExtended := f.BoolP("quiet", "n", false, ""), f.BoolP("regexp-extended", "E", false, ""), f.BoolP("r", "r", false, "")
	inPlace, given := f.BoolP("in-place", "i", false, ""), f.StringArrayP("expression", "e", nil, "")
	args, err := c.parse(f)
	if err != nil {
		return err
	}
	if len(*given) == 0 {
		if len(args) == 0 {
			return c.cannot()
		}
		*given, args = args[:1], args[1:]
	}
	p := &sedParser{text: strings.Join(*given, "\n"), extended: *extended || *alsoExtended}
	steps, ok := p.steps(false)
	if !ok {
		return c.cannot()
	}
	if !*inPlace {
		b, err := c.files(args)
		if err != nil {
			return err
		}
		text, err := c.edit(steps, b, *quiet)
		c.out.print(text)
		return err
	}
	for _, name := range args {
		b, err := c.file(name)
		if err != nil {
			return err
		}
		text, err := c.edit(steps, b, *quiet)
		if err != nil {
			return err
		}
		if err := c.root.write(c.dir, name, []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// edit returns what steps make of b.
func (c *call) edit(steps []*step, b []byte, quiet bool) (string, error) {
	var out output
	lines := linesOf(b)
	for i, line := range lines {
		text, end := strings.TrimSuffix(line, "\n"), line[len(strings.TrimSuffix(line, "\n")):]
		e := &editing{out: &out, ended: c.ended, text: text, end: end, n: i + 1, last: i == len(lines)-1}
		e.run(steps)
		if !e.gone && !quiet {
			out.print(e.text + end)
		}
		if err := c.ended(); err != nil {
			return "", err
		}
		if out.over || len(e.text) > lineLimit {
			return "", fmt.Errorf("it makes more than %d bytes, or %d in a line", outputLimit, lineLimit)
		}
		if e.quit {
			break
		}
	}
	return out.b.String(), nil
}

// editing is one line while it is edited.
type editing struct {
	out              *output
	text, end        string
	n                int
	last, gone, quit bool
	ended            func() error
}

func (e *editing) is(a *address) bool {
	return a.re != nil && a.re.MatchString(e.text) || a.end && e.last || a.line == e.n && a.line > 0
}

func (e *editing) run(steps []*step) {
	for _, s := range steps {
		on := true
		switch {
		case s.to != nil && s.inside:
			s.inside = !e.is(s.to) && (s.to.line == 0 || e.n < s.to.line)
		case s.to != nil:
			on = e.is(s.from)
			s.inside = on && (s.to.line == 0 || e.n < s.to.line)
		case s.from != nil:
			on = e.is(s.from)
		}
		if on == s.not {
			continue
		}
		switch s.do {
		case '{':
			e.run(s.block)
		case 'd':
			e.gone = true
		case 'p':
			e.out.print(e.text + cmp.Or(e.end, "\n"))
		case 'q':
			e.quit = true
		case 's':
			if !s.re.MatchString(e.text) {
				continue
			}
			e.text = s.replace(e.text)
			if s.print {
				e.out.print(e.text + cmp.Or(e.end, "\n"))
			}
		}
		if e.gone || e.quit || len(e.text) > lineLimit || e.ended() != nil {
			return
		}
	}
}

// replace returns text with the matches of s replaced: the nth, or all.
func (s *step) replace(text string) string {
	var out []byte
	at, n := 0, 0
	for _, m := range s.re.FindAllStringSubmatchIndex(text, -1) {
		if n++; n != s.nth && !s.all {
			continue
		}
		out = append(out, text[at:m[0]]...)
		out = s.re.ExpandString(out, s.with, text, m)
		if at = m[1]; len(out) > lineLimit {
			return string(out) // edit refuses it
		}
	}
	return string(append(out, text[at:]...))
}

type sedParser struct {
	text     string
	at       int
	extended bool
	before   *regexp.Regexp // what an empty pattern stands for
}

func (p *sedParser) skip(set string) {
	for p.at < len(p.text) && strings.IndexByte(set, p.text[p.at]) >= 0 {
		p.at++
	}
}

// steps parses commands, up to a } when inside a block.
func (p *sedParser) steps(block bool) (list []*step, ok bool) {
	for {
		p.skip(" \t\n;")
		switch {
		case p.at == len(p.text):
			return list, !block
		case p.text[p.at] == '}':
			p.at++
			return list, block
		}
		s := &step{nth: 1}
		if s.from, ok = p.address(); !ok {
			return nil, false
		}
		if p.at < len(p.text) && p.text[p.at] == ',' && s.from != nil {
			p.at++
			if s.to, ok = p.address(); !ok || s.to == nil {
				return nil, false
			}
		}
		p.skip(" \t")
		if p.at < len(p.text) && p.text[p.at] == '!' {
			s.not = true
			p.at++
		}
		if p.at == len(p.text) {
			return nil, false
		}
		s.do = p.text[p.at]
		p.at++
		switch s.do {
		case 'd', 'p', 'q':
		case '{':
			if s.block, ok = p.steps(true); !ok {
				return nil, false
			}
		case 's':
			if !p.substitute(s) {
				return nil, false
			}
		default:
			return nil, false
		}
		list = append(list, s)
	}
}

func (p *sedParser) address() (*address, bool) {
	if p.at == len(p.text) {
		return nil, true
	}
	switch ch := p.text[p.at]; {
	case ch == '$':
		p.at++
		return &address{end: true}, true
	case ch >= '0' && ch <= '9':
		from := p.at
		p.skip("0123456789")
		n, err := strconv.Atoi(p.text[from:p.at])
		return &address{line: n}, err == nil
	case ch == '/' || ch == '\\' && p.at+1 < len(p.text):
		if ch == '\\' {
			p.at++
		}
		text, ok := p.upTo(p.text[p.at])
		if !ok {
			return nil, false
		}
		re, ok := p.pattern(text)
		return &address{re: re}, ok
	}
	return nil, true
}

func (p *sedParser) pattern(text string) (*regexp.Regexp, bool) {
	if text == "" {
		return p.before, p.before != nil
	}
	re, err := pattern(text, p.extended)
	p.before = re
	return re, err == nil
}

// upTo returns the text from after the delimiter at p.at to the next one, which it passes.
func (p *sedParser) upTo(by byte) (string, bool) {
	var out strings.Builder
	set := 0 // within [ ]: 1 + where it began
	for p.at++; p.at < len(p.text); p.at++ {
		switch ch := p.text[p.at]; {
		case ch == '\\' && p.at+1 < len(p.text) && set == 0:
			p.at++
			if p.text[p.at] != by {
				out.WriteByte('\\')
			}
			out.WriteByte(p.text[p.at])
			continue
		case ch == by && set == 0:
			p.at++
			return out.String(), true
		case ch == '[' && set == 0:
			set = 1 + out.Len()
		case ch == ']' && set > 0 && strings.TrimPrefix(out.String()[set:], "^") != "":
			set = 0
		}
		out.WriteByte(p.text[p.at])
	}
	return "", false
}

func (p *sedParser) substitute(s *step) bool {
	if p.at == len(p.text) {
		return false
	}
	by := p.text[p.at]
	from, ok := p.upTo(by)
	if !ok {
		return false
	}
	p.at--
	with, ok := p.upTo(by)
	if !ok {
		return false
	}
	if s.re, ok = p.pattern(from); !ok {
		return false
	}
	var out strings.Builder
	for i := 0; i < len(with); i++ {
		switch ch := with[i]; {
		case ch == '\\' && i+1 < len(with):
			i++
			switch n := with[i]; {
			case n >= '0' && n <= '9':
				out.WriteString("${" + string(n) + "}")
			case n == 'n':
				out.WriteByte('\n')
			case n == '$':
				out.WriteString("$$")
			case strings.ContainsRune("ULEul", rune(n)):
				return false
			default:
				out.WriteByte(n)
			}
		case ch == '&':
			out.WriteString("${0}")
		case ch == '$':
			out.WriteString("$$")
		default:
			out.WriteByte(ch)
		}
	}
	s.with = out.String()
	for p.at < len(p.text) {
		switch ch := p.text[p.at]; {
		case ch == 'g':
			s.all = true
		case ch == 'p':
			s.print = true
		case ch >= '1' && ch <= '9':
			s.nth = int(ch - '0')
		case strings.IndexByte(" \t\n;}", ch) >= 0:
			return true
		default:
			return false
		}
		p.at++
	}
	return true
}
