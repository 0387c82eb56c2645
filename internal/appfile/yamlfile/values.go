package yamlfile

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"overland/internal/appfile"
	"overland/internal/printer"
)

// Patterns of names, in the syntax that Go and JSON schema share.
var (
	namePattern     = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	envPattern      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	userPattern     = regexp.MustCompile(`^([a-z_][a-z0-9_-]{0,31}|[0-9]{1,10})(:([a-z_][a-z0-9_-]{0,31}|[0-9]{1,10}))?$`)
	durationPattern = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`)
	backoffPattern  = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+\.\.([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`)
	portPattern     = regexp.MustCompile(`^(([0-9.]+|\[[0-9a-fA-F:.]+\]):)?[1-9][0-9]{0,4}(/(tcp|udp))?$`)
	filePattern     = regexp.MustCompile(`^([^/\\\n]+/)*[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}$`)
	absolutePattern = regexp.MustCompile(`^/`)
)

// Text returns n's text; a number or a truth value is not text.
func (d *Decoder) Text(n Node, what string) (string, bool) {
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
	d.Fail(n, hint, "%s must be text, not %s", what, kind(n))
	return "", false
}

// word returns n's text as it is written, also that of a number or a truth value: an
// argument is what stands there.
func (d *Decoder) word(n Node, what string) (string, bool) {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return d.Text(n, what)
}

// clean refuses a zero byte, which no argument, name or path can hold.
func (d *Decoder) clean(n Node, s, what string) bool {
	if strings.ContainsRune(s, 0) {
		d.Fail(n, "", "%s holds a zero byte", what)
		return false
	}
	return true
}

// Match returns n's text when it has the form of pattern; form says it in words.
func (d *Decoder) Match(n Node, what string, pattern *regexp.Regexp, form string) (string, bool) {
	s, ok := d.Text(n, what)
	if ok && !pattern.MatchString(s) {
		d.Fail(n, form, "%s %.60q: %s", what, s, form)
		return "", false
	}
	return s, ok
}

// name checks the name of something, which is a key or a value.
func (d *Decoder) name(at keyToken, s, what string) bool {
	if !namePattern.MatchString(s) {
		d.fail(at, nameForm, "%s %.60q: %s", what, s, nameForm)
		return false
	}
	return true
}

const nameForm = "a to z, 0 to 9 and -, at most 63, beginning with a letter"

// oneOf returns n's text when it is one of known.
func (d *Decoder) oneOf(n Node, what string, known ...string) (string, bool) {
	s, ok := d.Text(n, what)
	if !ok {
		return "", false
	}
	if slices.Contains(known, s) {
		return s, true
	}
	d.Fail(n, "one of: "+strings.Join(known, ", "), "unknown %s %.60q%s", what, s, meant(s, known))
	return "", false
}

// number returns n as a whole number between low and high.
func (d *Decoder) number(n Node, what string, low, high int) (int, bool) {
	if i, ok := n.(*ast.IntegerNode); ok {
		if v, err := strconv.Atoi(i.Token.Value); err == nil && v >= low && v <= high {
			return v, true
		}
		d.Fail(n, "", "%s %.60s: must be between %d and %d", what, i.Token.Value, low, high)
		return 0, false
	}
	is := kind(n)
	if f, ok := n.(*ast.FloatNode); ok {
		is = fmt.Sprintf("%.60s", f.Token.Value)
	}
	d.Fail(n, "", "%s must be a whole number, not %s", what, is)
	return 0, false
}

func (d *Decoder) duration(n Node, what string, longest time.Duration) (appfile.Duration, bool) {
	if _, ok := n.(*ast.IntegerNode); ok {
		d.Fail(n, "write it like 10s, 5m or 1h", "%s %s: without a unit", what, n.GetToken().Value)
		return 0, false
	}
	s, ok := d.Text(n, what)
	if !ok {
		return 0, false
	}
	v, err := appfile.ParseDuration(s)
	if err == nil && !durationPattern.MatchString(s) {
		err = fmt.Errorf("duration %.60q: not digits and a unit", s)
	}
	if err != nil {
		d.Fail(n, "write it like 10s, 5m or 1h", "%s: %v", what, err)
		return 0, false
	}
	if time.Duration(v) > longest {
		d.Fail(n, "one application must not hold up a machine", "%s %s: at most %s", what, s, short(appfile.Duration(longest)))
		return 0, false
	}
	return v, true
}

// backoff reads "1s..5m".
func (d *Decoder) backoff(n Node) (appfile.Backoff, bool) {
	s, ok := d.Text(n, "backoff")
	if !ok {
		return appfile.Backoff{}, false
	}
	low, high, dots := strings.Cut(s, "..")
	lo, err1 := appfile.ParseDuration(low)
	hi, err2 := appfile.ParseDuration(high)
	if !dots || !backoffPattern.MatchString(s) || err1 != nil || err2 != nil || lo <= 0 || hi < lo {
		d.Fail(n, "write it like 1s..5m: the first and the longest wait", "backoff %.60q: not two durations, the smaller one first", s)
		return appfile.Backoff{}, false
	}
	if time.Duration(hi) > appfile.MaxBackoff {
		d.Fail(n, "write it like 1s..5m", "backoff %.60q: the longest wait is at most %s", s, short(appfile.Duration(appfile.MaxBackoff)))
		return appfile.Backoff{}, false
	}
	return appfile.Backoff{Min: lo, Max: hi}, true
}

// list calls visit with each entry of the list n; false when n is something else.
func (d *Decoder) list(n Node, what string, visit func(v Node)) bool {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.Fail(n, "write it like [one, two]", "%s must be a list, not %s", what, kind(n))
		return false
	}
	for _, v := range s.Values {
		visit(v)
	}
	return true
}

// words returns the list n as texts.
func (d *Decoder) words(n Node, what string) []string {
	var list []string
	d.list(n, what, func(v Node) {
		if s, ok := d.word(v, "an entry of "+what); ok {
			list = append(list, s)
		}
	})
	return list
}

// Variables checks each {{.Name}} in the texts of n, a text, a list or a mapping, against known,
// which holds names like "Release.Version".
func (d *Decoder) Variables(n Node, known []string) {
	d.eachText(n, func(v Node, s string) { d.variables(v, s, known) })
}

func (d *Decoder) variables(n Node, s string, known []string) {
	_, err := appfile.Expand(s, func(name, inside string) (string, error) {
		if slices.Contains(known, name) {
			return "", nil
		}
		says := ""
		if near := printer.Nearest(strings.TrimPrefix(strings.TrimSpace(inside), "."), known); near != "" {
			says = " · did you mean {{." + near + "}}?"
		}
		d.Fail(n, "known here: {{."+strings.Join(known, "}}, {{.")+"}}; the braces themselves are "+appfile.Literal,
			"unknown variable {{%.60s}}%s", inside, says)
		return "", nil
	})
	if err != nil {
		d.Fail(n, "close it with }}, or write "+appfile.Literal+" for the braces themselves", "%v", err)
	}
}

// texts returns n, a mapping from names of the form of pattern to texts.
func (d *Decoder) texts(n Node, what string, pattern *regexp.Regexp, form string) map[string]string {
	m := map[string]string{}
	d.each(n, what, func(k keyToken, v Node) {
		s, ok := d.word(v, fmt.Sprintf("%s: %.60s", what, k.Value))
		if !pattern.MatchString(k.Value) {
			d.fail(k, form, "%s: %.60q: %s", what, k.Value, form)
		} else if ok {
			m[k.Value] = s
		}
	})
	if len(m) == 0 {
		return nil
	}
	return m
}

// eachText calls visit with each text of a mapping or a list.
func (d *Decoder) eachText(n Node, visit func(v Node, s string)) {
	var values []Node
	switch n := n.(type) {
	case *ast.SequenceNode:
		values = n.Values
	case ast.MapNode:
		for it := n.MapRange(); it.Next(); {
			values = append(values, it.Value())
		}
	default:
		values = []Node{n}
	}
	for _, v := range values {
		switch s := v.(type) {
		case *ast.StringNode:
			visit(v, s.Value)
		case *ast.LiteralNode:
			visit(v, s.Value.Value)
		}
	}
}
