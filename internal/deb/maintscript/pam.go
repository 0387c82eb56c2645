package maintscript

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// profile is a file in /usr/share/pam-configs: what a package wants of authentication, by "Auth-Type" and the like.
type profile struct {
	name   string
	fields map[string]string // a module's lines, without their indentation, for "Auth", "Auth-Initial", …
}

// pamTypes are the files that profiles make, with how the fields of profiles begin.
var pamTypes = []struct{ file, field string }{
	{"auth", "Auth"}, {"account", "Account"}, {"password", "Password"}, {"session", "Session"}, {"session-noninteractive", "Session-noninteractive"},
}

// pamUpdate writes /etc/pam.d/common-* for the profiles that are on by default, as pam-auth-update does where nobody has
// chosen others.
func pamUpdate(c *call) error {
	f := c.options()
	f.Bool("package", false, "")
	f.Bool("force", false, "")
	f.String("root", "", "")
	drop := f.Bool("remove", false, "")
	args, err := c.parse(f)
	if err != nil || *drop || len(args) > 0 {
		return cmp.Or(err, c.cannot())
	}
	all, on, err := c.profiles()
	if err != nil {
		return err
	}
	const state = "/var/lib/pam"
	if err := c.folder(state, true); err != nil {
		return err
	}
	var seen strings.Builder
	for _, p := range all {
		seen.WriteString(p.name + "\n")
	}
	if err := c.root.write("/", state+"/seen", []byte(seen.String())); err != nil {
		return err
	}
	for _, t := range pamTypes {
		form, err := c.root.read("/", "/usr/share/pam/common-"+t.file)
		if err != nil {
			return err
		}
		kind, _, _ := strings.Cut(t.file, "-")
		text := pamFile(string(form), kind, lines(on, t.field, "Primary"), lines(on, t.field, "Additional"))
		if err := c.root.write("/", "/etc/pam.d/common-"+t.file, []byte(text)); err != nil {
			return err
		}
		if err := c.root.write("/", path.Join(state, t.file), []byte(pamState(on, t.field))); err != nil {
			return err
		}
	}
	return nil
}

// profiles returns all profiles, the most important first, and those that are on by default.
func (c *call) profiles() (all, on []profile, err error) {
	const dir = "usr/share/pam-configs"
	for _, name := range c.root.List(dir) {
		b, err := c.root.Read(path.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		p := profile{name, map[string]string{}}
		field := ""
		for _, line := range linesOf(b) {
			key, value, ok := strings.Cut(strings.TrimRight(line, " \t\n"), ":")
			if ok && key != "" && !strings.ContainsAny(key, " \t") {
				field = strings.TrimSuffix(key, "-Final")
				p.fields[field] = strings.TrimSpace(value)
				continue
			}
			if line = strings.TrimSpace(line); line != "" {
				p.fields[field] = strings.TrimPrefix(p.fields[field]+"\n"+line, "\n")
			}
		}
		if _, alone := p.fields["Session-Interactive-Only"]; !alone {
			for _, end := range []string{"", "-Type", "-Initial"} {
				if v, ok := p.fields["Session"+end]; ok {
					p.fields["Session-noninteractive"+end] = v
				}
			}
		}
		all = append(all, p)
	}
	priority := func(p profile) int {
		n, _ := strconv.Atoi(p.fields["Priority"])
		return n
	}
	slices.SortFunc(all, func(a, b profile) int {
		return cmp.Or(cmp.Compare(priority(b), priority(a)), cmp.Compare(b.name, a.name))
	})
	for _, p := range all {
		if p.fields["Default"] == "yes" {
			on = append(on, p)
		}
		if p.fields["Conflicts"] != "" {
			return nil, nil, &UnknownError{"its PAM profile " + p.name + " has conflicts"}
		}
	}
	return all, on, nil
}

// module is the lines that one profile adds.
type module struct {
	profile string
	lines   []string
}

// lines returns what the profiles on add to a block of a file; the first of them may have other lines.
func lines(on []profile, field, block string) (list []module) {
	for _, p := range on {
		if p.fields[field+"-Type"] != block {
			continue
		}
		text := p.fields[field]
		if first := p.fields[field+"-Initial"]; first != "" && len(list) == 0 {
			text = first
		}
		list = append(list, module{p.name, strings.Split(text, "\n")})
	}
	return list
}

// pamFile returns form with the two blocks filled in. "end" in a line is the number of lines to the end of its block.
func pamFile(form, kind string, primary, additional []module) string {
	var out strings.Builder
	block := func(list []module, count int) {
		for _, m := range list {
			for _, line := range m.lines {
				words := strings.Fields(line)
				head := 2
				if strings.HasPrefix(line, "[") {
					if at := strings.Index(line, "]"); at > 0 {
						head = len(strings.Fields(line[:at+1])) + 1
					}
				}
				head = min(head, len(words))
				// The words before the options keep the space between them.
				at := 0
				for _, w := range words[:head] {
					at += strings.Index(line[at:], w) + len(w)
				}
				fmt.Fprintf(&out, "%s\t%s %s\n", kind, strings.ReplaceAll(line[:at], "end", strconv.Itoa(count)), strings.Join(words[head:], " "))
				count--
			}
		}
	}
	size := func(list []module) (n int) {
		for _, m := range list {
			n += len(m.lines)
		}
		return n
	}
	hidden := false
	for line := range strings.Lines(form) {
		switch {
		case strings.HasPrefix(line, "# here's the fallback"), strings.HasPrefix(line, "# end of pam-auth-update"):
			hidden = false
		}
		if !hidden {
			out.WriteString(line)
		}
		switch {
		case strings.HasPrefix(line, "# here are the per-package modules"):
			hidden = true
			if len(primary) == 0 {
				fmt.Fprintf(&out, "%s\t[default=1]\t\t\tpam_permit.so\n", kind)
			}
			block(primary, size(primary))
		case strings.HasPrefix(line, "# and here are more per-package modules"):
			hidden = true
			block(additional, size(additional)-1)
		}
	}
	return out.String()
}

// pamState returns what pam-auth-update keeps of a file, to know later what an administrator has changed.
func pamState(on []profile, field string) string {
	var out strings.Builder
	first := lines(on, field, "Primary")
	if len(first) == 0 {
		out.WriteString("Module: null\n[default=1]\t\t\tpam_permit.so\n")
	}
	for _, m := range slices.Concat(first, lines(on, field, "Additional")) {
		fmt.Fprintf(&out, "Module: %s\n%s\n", m.profile, strings.Join(m.lines, "\n"))
	}
	return out.String()
}
