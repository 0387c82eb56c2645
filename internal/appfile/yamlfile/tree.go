package yamlfile

import (
	"bytes"
	"cmp"
	"errors"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of a file.
const (
	MaxSize   = 1 << 20 // bytes of a file that Read takes
	maxLines  = 4096    // the lexer looks at all lines before one again: 16,000 empty ones took it seconds
	maxTokens = 100_000
	maxFlow   = 32  // brackets inside each other
	maxColumn = 256 // of a key or a "-", which bounds how deep blocks can be inside each other
)

// tree returns the file's one document, or nil after a failure.
func (d *Decoder) tree(b []byte) ast.Node {
	if len(b) > MaxSize {
		d.fail(nil, "such a file is a page, not a book", "longer than %d bytes", MaxSize)
		return nil
	}
	if n := bytes.Count(b, []byte("\n")) + bytes.Count(b, []byte("\r")); n > maxLines {
		d.fail(nil, "such a file is a page, not a book", "%d line ends: more than %d", n, maxLines)
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
		d.fail(nil, cmp.Or(d.docs, "overland init writes one"), "the file is empty")
		return nil
	case len(bodies) > 1:
		hint := "one file describes one application"
		if d.docs != "" {
			hint = "one file is one document"
		}
		d.fail(start(bodies[1]), hint, "a second document")
		return nil
	}
	return bodies[0]
}

// plain refuses, before anything is built from the tokens, whatever makes the file mean something
// else than it seems to, or makes reading it expensive.
func (d *Decoder) plain(tokens token.Tokens) bool {
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
