package tree

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const rewriteLimit = 1 << 20 // bytes of a text that is changed

// rewrite returns what the text file at rel becomes so that it runs anywhere, and what
// was done: "" for nothing. Two kinds are changed, where what reads them says how to
// find files from where they are.
func (p *packer) rewrite(rel string, text []byte) (made []byte, what string) {
	if strings.HasSuffix(rel, ".pc") {
		return p.pkgConfig(rel, text)
	}
	return p.pythonScript(rel, text)
}

// pkgConfig writes the paths in a file of pkg-config from the folder that it is in, which
// pkg-config calls ${pcfiledir}.
func (p *packer) pkgConfig(rel string, text []byte) (made []byte, what string) {
	made = text
	top := "${pcfiledir}" + strings.Repeat("/..", strings.Count(rel, "/"))
	for _, root := range p.roots {
		var b []byte
		for rest := made; ; {
			i := bytes.Index(rest, []byte(root))
			if i < 0 {
				made = append(b, rest...)
				break
			}
			after := rest[i+len(root):]
			b = append(b, rest[:i]...)
			if ends(after) {
				b = append(b, top...)
				what = "paths"
			} else {
				b = append(b, root...)
			}
			rest = after
		}
	}
	return made, what
}

// pythonLine is the first line of a script for a Python below a root.
var pythonLine = regexp.MustCompile(`^#! ?(/[^ \n]*/python[0-9.]*)( [^\n']*)?\n`)

// pythonScript makes the first line of a Python script find its Python from where the script is:
// the shell takes the second line for a command, Python takes it and the third for a text. Links to
// the script are followed first.
func (p *packer) pythonScript(rel string, text []byte) (made []byte, what string) {
	m := pythonLine.FindSubmatch(text)
	if m == nil {
		return text, ""
	}
	inside, ok := p.inside(string(m[1]))
	if !ok {
		return text, ""
	}
	if _, err := os.Stat(filepath.Join(p.dir, inside)); err != nil {
		return text, "" // it would not run here either
	}
	to, err := filepath.Rel(filepath.Dir(rel), inside)
	if err != nil || strings.ContainsAny(to, `'"$\`+"`") {
		return text, ""
	}
	head := fmt.Sprintf("#!/bin/sh\n'''exec' \"$(dirname -- \"$(readlink -f -- \"$0\")\")/%s\"%s \"$0\" \"$@\"\n' '''\n", to, m[2])
	return append([]byte(head), text[len(m[0]):]...), "first line"
}
