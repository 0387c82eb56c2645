package yamlfile

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"overland/internal/appfile"
)

// Patterns of names, in the syntax that Go and JSON schema share.
var (
	namePattern      = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	envPattern       = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	userPattern      = regexp.MustCompile(`^([a-z_][a-z0-9_-]{0,31}|[0-9]{1,10})(:([a-z_][a-z0-9_-]{0,31}|[0-9]{1,10}))?$`)
	durationPattern  = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`)
	backoffPattern   = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+\.\.([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`)
	toolchainPattern = regexp.MustCompile(`^go1\.[0-9]{1,4}(\.[0-9]{1,4}|rc[0-9]{1,2}|beta[0-9]{1,2})$`)
	tagPattern       = regexp.MustCompile(`^[A-Za-z0-9_.]+$`)
	varPattern       = regexp.MustCompile(`^[A-Za-z0-9_./~-]+\.[A-Za-z_][A-Za-z0-9_]*$`)
	packagePattern   = regexp.MustCompile(`^\.(/[^/]+)*$`)
	absolutePattern  = regexp.MustCompile(`^/`)
	outputPattern    = regexp.MustCompile(`^[^/]`)
)

// text returns n's text; a number or a truth value is not text.
func (d *decoder) text(n ast.Node, what string) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, d.clean(n, n.Value, what)
	case *ast.LiteralNode:
		return n.Value.Value, d.clean(n, n.Value.Value, what)
	}
	hint := ""
	if k := kind(n); k == "a number" || k == "true or false" {
		hint = `quote it: "` + n.GetToken().Value + `"`
	}
	d.fail(start(n), hint, "%s must be text, not %s", what, kind(n))
	return "", false
}

// word returns n's text as it is written, also that of a number or a truth value: an argument is what stands there.
func (d *decoder) word(n ast.Node, what string) (string, bool) {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return d.text(n, what)
}

// clean refuses what no argument, name or path can hold.
func (d *decoder) clean(n ast.Node, s, what string) bool {
	if strings.ContainsRune(s, 0) {
		d.fail(start(n), "", "%s holds a zero byte", what)
		return false
	}
	return true
}

// match returns n's text when it has the form of pattern; form says it in words.
func (d *decoder) match(n ast.Node, what string, pattern *regexp.Regexp, form string) (string, bool) {
	s, ok := d.text(n, what)
	if ok && !pattern.MatchString(s) {
		d.fail(start(n), form, "%s %q: %s", what, clip(s), form)
		return "", false
	}
	return s, ok
}

// name checks the name of something, which is a key or a value.
func (d *decoder) name(at *token.Token, s, what string) bool {
	if !namePattern.MatchString(s) {
		d.fail(at, nameForm, "%s %q: %s", what, clip(s), nameForm)
		return false
	}
	return true
}

const nameForm = "a to z, 0 to 9 and -, at most 63, beginning with a letter"

// oneOf returns n's text when it is one of known.
func (d *decoder) oneOf(n ast.Node, what string, known ...string) (string, bool) {
	s, ok := d.text(n, what)
	if !ok {
		return "", false
	}
	for _, k := range known {
		if s == k {
			return s, true
		}
	}
	says := ""
	if near := nearest(s, known); near != "" {
		says = " · did you mean " + near + "?"
	}
	d.fail(start(n), "one of: "+strings.Join(known, ", "), "unknown %s %q%s", what, clip(s), says)
	return "", false
}

// number returns n as a whole number between low and high.
func (d *decoder) number(n ast.Node, what string, low, high int) (int, bool) {
	if i, ok := n.(*ast.IntegerNode); ok {
		if v, err := strconv.Atoi(i.Token.Value); err == nil && v >= low && v <= high {
			return v, true
		}
		d.fail(start(n), "", "%s %s: must be between %d and %d", what, clip(i.Token.Value), low, high)
		return 0, false
	}
	d.fail(start(n), "", "%s must be a number, not %s", what, kind(n))
	return 0, false
}

func (d *decoder) duration(n ast.Node, what string) (appfile.Duration, bool) {
	if _, ok := n.(*ast.IntegerNode); ok {
		d.fail(start(n), "write it like 10s, 5m or 1h", "%s %s: without a unit", what, n.GetToken().Value)
		return 0, false
	}
	s, ok := d.text(n, what)
	if !ok {
		return 0, false
	}
	v, err := appfile.ParseDuration(s)
	if err == nil && !durationPattern.MatchString(s) {
		err = fmt.Errorf("duration %q: not digits and a unit", clip(s))
	}
	if err != nil {
		d.fail(start(n), "write it like 10s, 5m or 1h", "%s: %v", what, err)
		return 0, false
	}
	return v, true
}

// backoff reads "1s..5m".
func (d *decoder) backoff(n ast.Node) (appfile.Backoff, bool) {
	s, ok := d.text(n, "backoff")
	if !ok {
		return appfile.Backoff{}, false
	}
	low, high, dots := strings.Cut(s, "..")
	lo, err1 := appfile.ParseDuration(low)
	hi, err2 := appfile.ParseDuration(high)
	if !dots || !backoffPattern.MatchString(s) || err1 != nil || err2 != nil || lo <= 0 || hi < lo {
		d.fail(start(n), "write it like 1s..5m: the first and the longest wait", "backoff %q: not two durations, the smaller one first", clip(s))
		return appfile.Backoff{}, false
	}
	return appfile.Backoff{Min: lo, Max: hi}, true
}

// list gives the entries of the list n to visit.
func (d *decoder) list(n ast.Node, what string, visit func(i int, v ast.Node)) bool {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(start(n), "write it like [one, two]", "%s must be a list, not %s", what, kind(n))
		return false
	}
	for i, v := range s.Values {
		visit(i, v)
	}
	return true
}

// words returns the list n as texts.
func (d *decoder) words(n ast.Node, what string) []string {
	var list []string
	d.list(n, what, func(_ int, v ast.Node) {
		if s, ok := d.word(v, "an entry of "+what); ok {
			list = append(list, s)
		}
	})
	return list
}

// variables checks each {{.Name}} of s against known, which holds names like "Release.Version".
func (d *decoder) variables(n ast.Node, s string, known []string) {
	for rest := s; ; {
		_, after, found := strings.Cut(rest, "{{")
		if !found {
			return
		}
		inner, tail, closed := strings.Cut(after, "}}")
		if !closed {
			d.fail(start(n), "close it with }}", "%q: {{ without }}", clip(s))
			return
		}
		rest = tail
		name, dotted := strings.CutPrefix(strings.TrimSpace(inner), ".")
		found = false
		for _, k := range known {
			found = found || dotted && k == name
		}
		if found {
			continue
		}
		says := ""
		if near := nearest(name, known); near != "" {
			says = " · did you mean {{." + near + "}}?"
		}
		d.fail(start(n), "known here: {{."+strings.Join(known, "}}, {{.")+"}}", "unknown variable {{%s}}%s", clip(inner), says)
	}
}
