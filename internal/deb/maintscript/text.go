package maintscript

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// file returns what the file p of the root holds; "-" is what is piped.
func (c *call) file(p string) ([]byte, error) {
	if p == "-" || p == "/dev/stdin" {
		return c.in, nil
	}
	if p == "/dev/null" {
		return nil, nil
	}
	b, err := c.root.read(c.dir, p)
	if len(b) > outputLimit {
		return nil, fmt.Errorf("%s has more than %d bytes", p, outputLimit)
	}
	return b, err
}

// files returns what the files called names hold, one after the other; of none, what is piped.
func (c *call) files(names []string) ([]byte, error) {
	if len(names) == 0 {
		names = []string{"-"}
	}
	var all []byte
	for _, p := range names {
		b, err := c.file(p)
		if err != nil {
			return nil, err
		}
		if all = append(all, b...); len(all) > outputLimit {
			return nil, fmt.Errorf("more than %d bytes", outputLimit)
		}
	}
	return all, nil
}

// linesOf returns the lines of b, each with the newline that it has.
func linesOf(b []byte) []string { return slices.Collect(strings.Lines(string(b))) }

// lineLimit is how long lines are, in bytes, that are looked through for patterns.
const lineLimit = 128 << 10

func cat(c *call) error {
	args, err := c.parse(c.options())
	if err != nil {
		return err
	}
	b, err := c.files(args)
	if err != nil {
		return err
	}
	c.out.print(string(b))
	return nil
}

// pattern returns POSIX's regular expression text, basic or extended, as Go writes it.
func pattern(text string, extended bool) (*regexp.Regexp, error) {
	var out strings.Builder
	start := true // where a * is a star, and a ^ an anchor
	for i := 0; i < len(text); i++ {
		ch := text[i]
		switch {
		case ch == '\\' && i+1 < len(text):
			i++
			switch n := text[i]; {
			case !extended && strings.ContainsRune("(){}|+?", rune(n)):
				out.WriteByte(n)
				start = n == '(' || n == '|'
				continue
			case n == '<' || n == '>':
				out.WriteString(`\b`)
			case n >= '1' && n <= '9':
				return nil, fmt.Errorf("a reference in a pattern")
			case strings.ContainsRune("wWsSbB", rune(n)):
				out.WriteString(`\` + string(n))
			default:
				out.WriteString(regexp.QuoteMeta(string(n)))
			}
		case ch == '[':
			end := i + 1
			if end < len(text) && text[end] == '^' {
				end++
			}
			if end < len(text) && text[end] == ']' {
				end++
			}
			for end < len(text) && text[end] != ']' {
				if strings.HasPrefix(text[end:], "[:") {
					if n := strings.Index(text[end:], ":]"); n > 0 {
						end += n + 1
					}
				}
				end++
			}
			if end >= len(text) {
				return nil, fmt.Errorf("unmatched [ in %q", text)
			}
			set := text[i+1 : end]
			head := ""
			if strings.HasPrefix(set, "^") {
				head, set = "^", set[1:]
			}
			set = strings.ReplaceAll(set, `\`, `\\`)
			if strings.HasPrefix(set, "]") {
				set = `\]` + set[1:]
			}
			set = regexp.MustCompile(`\[([^:]|$)`).ReplaceAllString(set, `\[$1`)
			out.WriteString("[" + head + set + "]")
			i = end
		case !extended && strings.ContainsRune("(){}|+?", rune(ch)):
			out.WriteString(`\` + string(ch))
		case ch == '*' && start, !extended && ch == '^' && !start, !extended && ch == '$' && i+1 < len(text) && !strings.HasPrefix(text[i+1:], `\)`) && !strings.HasPrefix(text[i+1:], `\|`):
			out.WriteString(`\` + string(ch))
		default:
			out.WriteByte(ch)
		}
		start = ch == '^' && start || extended && (ch == '(' || ch == '|')
	}
	re, err := regexp.Compile(out.String())
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", text, err)
	}
	re.Longest()
	return re, nil
}

func grep(c *call) error {
	f := c.options()
	extended, fixed := f.BoolP("extended-regexp", "E", c.name == "egrep", ""), f.BoolP("fixed-strings", "F", c.name == "fgrep", "")
	quiet, silent, not := f.BoolP("quiet", "q", false, ""), f.BoolP("no-messages", "s", false, ""), f.BoolP("invert-match", "v", false, "")
	fold, whole, word := f.BoolP("ignore-case", "i", false, ""), f.BoolP("line-regexp", "x", false, ""), f.BoolP("word-regexp", "w", false, "")
	count, names, only := f.BoolP("count", "c", false, ""), f.BoolP("files-with-matches", "l", false, ""), f.BoolP("only-matching", "o", false, "")
	f.BoolP("no-filename", "h", false, "")
	given := f.StringArrayP("regexp", "e", nil, "")
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
	var all []*regexp.Regexp
	for _, text := range *given {
		for _, one := range strings.Split(text, "\n") {
			if *fixed {
				one = regexp.QuoteMeta(one)
			}
			re, err := pattern(one, *extended || *fixed)
			if err != nil {
				return &UnknownError{"it runs grep with a " + err.Error()}
			}
			text := re.String()
			if *whole {
				text = `^(?:` + text + `)$`
			}
			if *word {
				text = `\b(?:` + text + `)\b`
			}
			if *fold {
				text = `(?i)` + text
			}
			if re, err = regexp.Compile(text); err != nil {
				return c.cannot()
			}
			all = append(all, re)
		}
	}
	if len(args) == 0 {
		args = []string{"-"}
	}
	const most = 100
	if len(all) > most {
		return c.cannot()
	}
	if *only && len(all) > 1 {
		return c.cannot()
	}
	found, lost := false, false
	for _, p := range args {
		b, err := c.file(p)
		if err != nil {
			if lost = true; !*silent {
				fmt.Fprintf(c.err, "grep: %v\n", err)
			}
			continue
		}
		n := 0
		for _, line := range linesOf(b) {
			if err := c.ended(); err != nil {
				return err
			}
			if line = strings.TrimSuffix(line, "\n"); len(line) > lineLimit {
				return fmt.Errorf("a line of more than %d bytes", lineLimit)
			}
			if slices.ContainsFunc(all, func(re *regexp.Regexp) bool { return re.MatchString(line) }) == *not {
				continue
			}
			if n++; *quiet || *count || *names {
				continue
			}
			if *only {
				for _, m := range all[0].FindAllString(line, -1) {
					fmt.Fprintf(&c.out, "%s\n", m)
				}
				continue
			}
			if len(args) > 1 && !f.Changed("no-filename") {
				fmt.Fprintf(&c.out, "%s:", p)
			}
			fmt.Fprintf(&c.out, "%s\n", line)
		}
		if *count {
			fmt.Fprintf(&c.out, "%d\n", n)
		}
		if *names && n > 0 {
			fmt.Fprintf(&c.out, "%s\n", p)
		}
		found = found || n > 0
	}
	switch {
	case found && (*quiet || !lost):
		return nil
	case lost:
		return exit(2)
	case found:
		return nil
	}
	return exit(1)
}

func cut(c *call) error {
	f := c.options()
	by, fields, only := f.StringP("delimiter", "d", "\t", ""), f.StringP("fields", "f", "", ""), f.BoolP("only-delimited", "s", false, "")
	chars := f.StringP("characters", "c", "", "")
	args, err := c.parse(f)
	if err != nil {
		return err
	}
	b, err := c.files(args)
	if err != nil {
		return err
	}
	if (*fields == "") == (*chars == "") || len(*by) != 1 {
		return c.cannot()
	}
	for _, line := range linesOf(b) {
		if err := c.ended(); err != nil {
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		parts, sep := strings.Split(line, *by), *by
		if *chars != "" {
			parts, sep = strings.Split(line, ""), ""
		} else if len(parts) == 1 {
			if !*only {
				fmt.Fprintf(&c.out, "%s\n", line)
			}
			continue
		}
		var chosen []string
		before := 0
		for _, span := range strings.Split(cmp.Or(*fields, *chars), ",") {
			from, to, open := strings.Cut(span, "-")
			first, err1 := strconv.Atoi(cmp.Or(from, "1"))
			last := first
			var err2 error
			if open {
				last, err2 = strconv.Atoi(cmp.Or(to, "1000000"))
			}
			if err1 != nil || err2 != nil || first <= before || last < first {
				return c.cannot() // what is named twice is printed once, in the order of the line
			}
			before = last
			if first <= len(parts) {
				chosen = append(chosen, parts[first-1:min(last, len(parts))]...)
			}
		}
		fmt.Fprintf(&c.out, "%s\n", strings.Join(chosen, sep))
	}
	return nil
}

func head(c *call) error {
	if len(c.args) > 0 && len(c.args[0]) > 1 && c.args[0][0] == '-' && strings.Trim(c.args[0][1:], "0123456789") == "" {
		c.args = append([]string{"-n", c.args[0][1:]}, c.args[1:]...)
	}
	f := c.options()
	n := f.IntP("lines", "n", 10, "")
	args, err := c.parse(f)
	if err != nil || *n < 0 || len(args) > 1 {
		return cmp.Or(err, c.cannot())
	}
	b, err := c.files(args)
	if err != nil {
		return err
	}
	lines := linesOf(b)
	c.out.print(strings.Join(lines[:min(*n, len(lines))], ""))
	return nil
}

// set returns the characters that tr's text names.
func set(text string) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], "[:"):
			name, _, ok := strings.Cut(text[i+2:], ":]")
			span, known := map[string]string{"lower": "a-z", "upper": "A-Z", "digit": "0-9", "alpha": "A-Za-z", "alnum": "0-9A-Za-z", "space": "\t\n\v\f\r ", "blank": "\t "}[name]
			if !ok || !known {
				return "", false
			}
			more, _ := set(span)
			out.WriteString(more)
			i += len(name) + 3
		case text[i] == '\\' && i+1 < len(text):
			i++
			ch, ok := map[byte]byte{'n': '\n', 't': '\t', '\\': '\\', '0': 0, 'r': '\r'}[text[i]]
			if !ok {
				return "", false
			}
			out.WriteByte(ch)
		case i+2 < len(text) && text[i+1] == '-':
			if text[i+2] < text[i] {
				return "", false
			}
			for ch := int(text[i]); ch <= int(text[i+2]); ch++ {
				out.WriteByte(byte(ch))
			}
			i += 2
		default:
			out.WriteByte(text[i])
		}
	}
	return out.String(), true
}

func translate(c *call) error {
	f := c.options()
	drop, squeeze, not := f.BoolP("delete", "d", false, ""), f.BoolP("squeeze-repeats", "s", false, ""), f.BoolP("complement", "c", false, "")
	args, err := c.parse(f)
	if err != nil || len(args) == 0 || len(args) > 2 || *drop && len(args) != 1 || !*drop && !*squeeze && len(args) != 2 {
		return cmp.Or(err, c.cannot())
	}
	from, ok := set(args[0])
	if *not {
		var rest strings.Builder
		for ch := range 256 {
			if strings.IndexByte(from, byte(ch)) < 0 {
				rest.WriteByte(byte(ch))
			}
		}
		from = rest.String()
	}
	to, last := "", from
	if len(args) == 2 {
		var fine bool
		if to, fine = set(args[1]); !fine || to == "" {
			return c.cannot()
		}
		last = to
	}
	if !ok {
		return c.cannot()
	}
	before := -1
	for _, ch := range c.in {
		at := strings.IndexByte(from, ch)
		if at >= 0 && *drop {
			continue
		}
		if at >= 0 && to != "" {
			ch = to[min(at, len(to)-1)]
		}
		if *squeeze && int(ch) == before && strings.IndexByte(last, ch) >= 0 {
			continue
		}
		before = int(ch)
		c.out.print(string([]byte{ch}))
	}
	return nil
}

func sortLines(c *call) error {
	f := c.options()
	once, back := f.BoolP("unique", "u", false, ""), f.BoolP("reverse", "r", false, "")
	args, err := c.parse(f)
	if err != nil {
		return err
	}
	b, err := c.files(args)
	if err != nil {
		return err
	}
	var lines []string
	for _, line := range linesOf(b) {
		lines = append(lines, strings.TrimSuffix(line, "\n")+"\n")
	}
	slices.Sort(lines)
	if *once {
		lines = slices.Compact(lines)
	}
	if *back {
		slices.Reverse(lines)
	}
	c.out.print(strings.Join(lines, ""))
	return nil
}

func unique(c *call) error {
	f := c.options()
	count := f.BoolP("count", "c", false, "")
	args, err := c.parse(f)
	if err != nil || len(args) > 1 {
		return cmp.Or(err, c.cannot())
	}
	b, err := c.files(args)
	if err != nil {
		return err
	}
	lines := linesOf(b)
	for i := 0; i < len(lines); {
		n := 1
		for i+n < len(lines) && strings.TrimSuffix(lines[i+n], "\n") == strings.TrimSuffix(lines[i], "\n") {
			n++
		}
		if *count {
			fmt.Fprintf(&c.out, "%7d ", n)
		}
		fmt.Fprintf(&c.out, "%s\n", strings.TrimSuffix(lines[i], "\n"))
		i += n
	}
	return nil
}

func checksum(c *call) error {
	args, err := c.parse(c.options())
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"-"}
	}
	for _, p := range args {
		b, err := c.file(p)
		if err != nil {
			return err
		}
		switch c.name {
		case "md5sum":
			fmt.Fprintf(&c.out, "%x  %s\n", md5.Sum(b), p)
		case "sha256sum":
			fmt.Fprintf(&c.out, "%x  %s\n", sha256.Sum256(b), p)
		case "sha512sum":
			fmt.Fprintf(&c.out, "%x  %s\n", sha512.Sum512(b), p)
		}
	}
	return nil
}

func compare(c *call) error {
	f := c.options()
	quiet := f.BoolP("silent", "s", false, "")
	args, err := c.parse(f)
	if err != nil || len(args) != 2 {
		return cmp.Or(err, c.cannot())
	}
	a, err := c.file(args[0])
	if err != nil {
		return exit(2)
	}
	b, err := c.file(args[1])
	if err != nil {
		return exit(2)
	}
	if !bytes.Equal(a, b) {
		if !*quiet {
			fmt.Fprintf(&c.out, "%s %s differ\n", args[0], args[1])
		}
		return exit(1)
	}
	return nil
}

func sequence(c *call) error {
	var n []int
	for _, a := range c.args {
		one, err := strconv.Atoi(a)
		if err != nil {
			return c.cannot()
		}
		n = append(n, one)
	}
	first, step := 1, 1
	switch len(n) {
	case 1:
	case 2:
		first = n[0]
	case 3:
		first, step = n[0], n[1]
	default:
		return c.cannot()
	}
	last := n[len(n)-1]
	const most, far = 1 << 20, 1 << 29
	if step == 0 || max(first, last, step) > far || min(first, last, step) < -far || (last-first)/step > most {
		return c.cannot()
	}
	for i := first; step > 0 && i <= last || step < 0 && i >= last; i += step {
		fmt.Fprintf(&c.out, "%d\n", i)
	}
	return nil
}
