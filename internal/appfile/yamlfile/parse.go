package yamlfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"overland/internal/appfile"
	"overland/internal/errs"
)

// Limits of a file.
const (
	maxSize   = 1 << 20 // bytes
	maxTokens = 100_000
	maxFlow   = 32  // brackets inside each other
	maxColumn = 256 // of a key or a "-", which bounds how deep blocks can be inside each other
	maxErrors = 10  // problems that are reported at once
)

const seeDocs = "every key, with examples: docs/reference/overland-yaml.md"

// Parse returns the App that b holds. name is the file's name, for messages: "overland.yaml:12:5: unknown key …". Every
// error is Invalid, has a hint, and names up to ten problems, a line for each, from the top down.
func Parse(b []byte, name string) (*appfile.App, error) {
	d := &decoder{file: name}
	app := &appfile.App{}
	if root := d.tree(b); root != nil {
		decode(d, root, "the file", appKeys(), app)
		for _, check := range d.later {
			check()
		}
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return app, nil
}

// problem is one thing that is wrong, where, and what to do.
type problem struct {
	line, col  int
	says, hint string
}

// decoder collects problems on its way through the file.
type decoder struct {
	file     string
	problems []problem
	later    []func() // checks between parts of the file, run when all of it was read
}

func (d *decoder) fail(at *token.Token, hint, format string, args ...any) {
	p := problem{line: 1, col: 1, says: fmt.Sprintf(format, args...), hint: hint}
	if at != nil && at.Position != nil {
		p.line, p.col = at.Position.Line, at.Position.Column
	}
	d.problems = append(d.problems, p)
}

func (d *decoder) err() error {
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
	hint := seeDocs
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

// tree returns the file's one document, or nil after a failure.
func (d *decoder) tree(b []byte) ast.Node {
	if len(b) > maxSize {
		d.fail(nil, "an application's description is a page, not a book", "longer than %d bytes", maxSize)
		return nil
	}
	tokens := lexer.Tokenize(string(b))
	if !d.plain(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var at interface {
			GetToken() *token.Token
			GetMessage() string
		}
		if errors.As(err, &at) {
			d.fail(at.GetToken(), "", "%s", at.GetMessage())
		} else {
			d.fail(nil, "", "not YAML: %v", err)
		}
		return nil
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	switch {
	case len(bodies) == 0:
		d.fail(nil, "overland init writes one", "the file is empty")
		return nil
	case len(bodies) > 1:
		d.fail(start(bodies[1]), "one file describes one application", "a second document")
		return nil
	}
	return bodies[0]
}

// plain refuses, before anything is built from the tokens, what would make the file say something else than it seems to,
// or make reading it expensive.
func (d *decoder) plain(tokens token.Tokens) bool {
	if len(tokens) > maxTokens {
		d.fail(tokens[maxTokens], "an application's description is a page, not a book", "more than %d words", maxTokens)
		return false
	}
	flow := 0
	for _, t := range tokens {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			d.fail(t, "write it out", "anchors, aliases and merge keys are not allowed here")
		case token.TagType:
			d.fail(t, "remove the tag", "tags are not allowed here")
		case token.DirectiveType:
			d.fail(t, "remove the line", "directives are not allowed here")
		case token.MappingKeyType:
			d.fail(t, "write it like key: value", "keys that begin with ? are not allowed here")
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		}
		deep := flow > maxFlow ||
			flow == 0 && t.Position.Column > maxColumn && (t.Type == token.MappingValueType || t.Type == token.SequenceEntryType)
		if deep {
			d.fail(t, "", "nested too deeply")
		}
		if len(d.problems) > 0 {
			return false
		}
	}
	return true
}

// start returns the token that a person would point at for n.
func start(n ast.Node) *token.Token {
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

// key is one key of a mapping that becomes a T: what the parser, the schema and a person need to know of it.
type key[T any] struct {
	name     string
	doc      string
	required bool
	schema   schema
	set      func(d *decoder, n ast.Node, to *T)
}

// decode reads the mapping n into to. what names it, for messages.
func decode[T any](d *decoder, n ast.Node, what string, keys []key[T], to *T) {
	var names []string
	for _, k := range keys {
		names = append(names, k.name)
	}
	seen := map[string]bool{}
	if !d.each(n, what, func(k *token.Token, v ast.Node) {
		i := slices.Index(names, k.Value)
		if i < 0 {
			says := fmt.Sprintf("unknown key %q", clip(k.Value))
			if near := nearest(k.Value, names); near != "" {
				says += " · did you mean " + near + "?"
			}
			d.fail(k, "keys of "+what+": "+strings.Join(names, ", "), "%s", says)
			return
		}
		seen[k.Value] = true
		keys[i].set(d, v, to)
	}) {
		return
	}
	for _, k := range keys {
		if k.required && !seen[k.name] {
			d.fail(start(n), k.name+": "+k.doc, "%s has no key %s", what, k.name)
		}
	}
}

// each gives the entries of the mapping n to visit, each key once; false when n is something else.
func (d *decoder) each(n ast.Node, what string, visit func(k *token.Token, v ast.Node)) bool {
	m, ok := n.(ast.MapNode)
	if !ok {
		d.fail(start(n), "", "%s must be a mapping (key: value), not %s", what, kind(n))
		return false
	}
	first := map[string]*token.Token{}
	for it := m.MapRange(); it.Next(); {
		k, ok := it.Key().(*ast.StringNode)
		if !ok {
			d.fail(it.Key().GetToken(), "quote it", "a key of %s must be text", what)
			continue
		}
		t := *k.Token
		t.Value = k.Value
		if was := first[k.Value]; was != nil {
			d.fail(&t, "keep one of them", "key %q is here twice; first in line %d", clip(k.Value), was.Position.Line)
			continue
		}
		first[k.Value] = &t
		visit(&t, it.Value())
	}
	return true
}

// kind returns what a person calls n.
func kind(n ast.Node) string {
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

func clip(s string) string {
	const longest = 60
	if len(s) > longest {
		return s[:longest] + "…"
	}
	return s
}

// nearest returns the one of names that s was probably meant to be, or "".
func nearest(s string, names []string) string {
	best, near := 3, ""
	for _, name := range names {
		if n := distance(s, name); n < best && n < len(name) {
			best, near = n, name
		}
	}
	return near
}

// distance returns how many letters must be put in, dropped, changed or swapped to make b of a; 9 for long words.
func distance(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return 9
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
