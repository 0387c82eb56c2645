package maintscript

import (
	"io"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// readLine returns the command that does what read with args does: it sets the variables to the fields of the next line
// of in. The interpreter's own takes a separator at the start of a line for a space.
func readLine(hc interp.HandlerContext, args []string) ([]string, bool) {
	raw := false
	if len(args) > 0 && args[0] == "-r" {
		raw, args = true, args[1:]
	}
	for _, name := range args {
		if !syntax.ValidName(name) {
			return nil, false
		}
	}
	if len(args) == 0 {
		args = []string{"REPLY"}
	}
	line, more := nextLine(hc.Stdin, raw)
	ifs := " \t\n"
	if v := hc.Env.Get("IFS"); v.IsSet() {
		ifs = v.String()
	}
	var set strings.Builder
	for i, name := range args {
		var field string
		if i == len(args)-1 {
			field = lastField(line, ifs)
		} else {
			field, line = cutField(line, ifs)
		}
		word, err := syntax.Quote(field, syntax.LangPOSIX)
		if err != nil {
			return nil, false
		}
		set.WriteString(name + "=" + word + "; ")
	}
	set.WriteString(map[bool]string{true: "true", false: "false"}[more])
	return []string{"eval", set.String()}, true
}

// nextLine reads one line, and no byte beyond it. Unless it is raw, a backslash takes the meaning of what follows it.
func nextLine(r io.Reader, raw bool) (string, bool) {
	var line []byte
	for b := make([]byte, 1); len(line) < outputLimit; {
		if n, err := r.Read(b); n == 0 {
			if err == nil {
				continue
			}
			return string(line), false
		}
		switch {
		case b[0] == '\\' && !raw:
			if n, _ := r.Read(b); n == 0 {
				return string(line), false
			}
			if b[0] != '\n' {
				line = append(line, b[0])
			}
		case b[0] == '\n':
			return string(line), true
		default:
			line = append(line, b[0])
		}
	}
	return string(line), false
}

// spaces returns those separators in ifs of which many count as one.
func spaces(ifs string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\n' {
			return r
		}
		return -1
	}, ifs)
}

// cutField returns the first field of line, and what follows its separator.
func cutField(line, ifs string) (field, rest string) {
	white := spaces(ifs)
	line = strings.TrimLeft(line, white)
	at := strings.IndexAny(line, ifs)
	if ifs == "" || at < 0 {
		return line, ""
	}
	field, rest = line[:at], strings.TrimLeft(line[at:], white)
	if rest != "" && strings.ContainsAny(rest[:1], ifs) {
		rest = strings.TrimLeft(rest[1:], white)
	}
	return field, rest
}

// lastField returns line as the last variable has it: whole, but for a separator at its end if that is its only one.
func lastField(line, ifs string) string {
	white := spaces(ifs)
	line = strings.Trim(line, white)
	if field, rest := cutField(line, ifs); rest == "" && ifs != "" {
		return field
	}
	return line
}
