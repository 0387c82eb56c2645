package yamlfile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"overland/internal/errs"
)

const maxErrors = 10 // problems that are reported at once

const seeDocs = "every key, with examples: docs/reference/overland-yaml.md"

// problem is one thing that is wrong, where, and what to do.
type problem struct {
	line, col  int
	says, hint string
}

// Node is a value of the file, with its place. It is for a Decoder to read.
type Node = ast.Node

// keyToken is a key of a mapping: its text and its place.
type keyToken = *token.Token

// Decoder reads values of one file, and collects what is wrong with them. Each method that reads a
// value returns false after it has complained.
type Decoder struct {
	file     string
	docs     string // hint where there is no better one; "" = overland.yaml's reference
	problems []problem
	later    []func() // checks between parts of the file, run when all of it was read
}

// Fail says what is wrong with n, which has its line and column. hint is what to do about
// it; "" points at the reference.
func (d *Decoder) Fail(n Node, hint, format string, args ...any) {
	d.fail(start(n), hint, format, args...)
}

// failed reports whether anything was wrong so far.
func (d *Decoder) failed() bool { return len(d.problems) > 0 }

func (d *Decoder) fail(at keyToken, hint, format string, args ...any) {
	p := problem{line: 1, col: 1, says: fmt.Sprintf(format, args...), hint: hint}
	if at != nil && at.Position != nil {
		p.line, p.col = at.Position.Line, at.Position.Column
	}
	d.problems = append(d.problems, p)
}

func (d *Decoder) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b problem) int {
		if a.line != b.line {
			return a.line - b.line
		}
		return a.col - b.col
	})
	var lines []string
	hint := cmp.Or(d.docs, seeDocs)
	for i, p := range d.problems {
		if i == maxErrors {
			lines = append(lines, fmt.Sprintf("%s: and %d more", d.file, len(d.problems)-i))
			break
		}
		if i == 0 && p.hint != "" {
			hint = p.hint
		}
		lines = append(lines, fmt.Sprintf("%s:%d:%d: %s", d.file, p.line, p.col, p.says))
	}
	return errs.Hint(errs.E(errs.Invalid, errors.New(strings.Join(lines, "\n"))), "%s", hint)
}

// IsMapping reports whether n is a mapping.
func IsMapping(n Node) bool {
	_, ok := n.(ast.MapNode)
	return ok
}

// start returns the token that a person would point at for n.
func start(n Node) keyToken {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return start(n.Values[0])
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return n.GetToken()
}

// each gives the entries of the mapping n to visit, each key once; false when n is something else.
func (d *Decoder) each(n Node, what string, visit func(k keyToken, v Node)) bool {
	m, ok := n.(ast.MapNode)
	if !ok {
		d.fail(start(n), "", "%s must be a mapping (key: value), not %s", what, kind(n))
		return false
	}
	first := map[string]keyToken{}
	for it := m.MapRange(); it.Next(); {
		k, ok := it.Key().(*ast.StringNode)
		if !ok {
			d.fail(it.Key().GetToken(), "quote it", "a key of %s must be text", what)
			continue
		}
		t := *k.Token
		t.Value = k.Value
		if was := first[k.Value]; was != nil {
			d.fail(&t, "keep one of them", "key %.60q is here twice; first in line %d", k.Value, was.Position.Line)
			continue
		}
		first[k.Value] = &t
		visit(&t, it.Value())
	}
	return true
}

// kind returns what a person calls n.
func kind(n Node) string {
	switch n.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	}
	return "text"
}
