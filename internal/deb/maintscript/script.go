package maintscript

import (
	"bytes"
	"errors"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"overland/internal/errs"
)

// script is one that was parsed.
type script struct {
	*syntax.File
	bash bool
}

// parse reads a script, and refuses what the interpreter would ask this machine for.
func parse(name string, text []byte) (*script, error) {
	first, _, _ := strings.Cut(string(text), "\n")
	words := strings.Fields(strings.TrimPrefix(first, "#!"))
	if !strings.HasPrefix(first, "#!") || len(words) == 0 {
		return nil, &UnknownError{"it names no interpreter"}
	}
	if path.Base(words[0]) == "env" && len(words) > 1 {
		words = words[1:]
	}
	base := path.Base(words[0])
	if !slices.Contains([]string{"sh", "dash", "bash"}, base) {
		return nil, &UnknownError{"it is written for " + words[0]}
	}
	if len(text) > textLimit {
		return nil, tooLong()
	}
	// The interpreter knows local and export only as bash has them, and dash has them too.
	tree, err := syntax.NewParser().Parse(bytes.NewReader(text), name)
	if err != nil {
		return nil, errs.E(errs.Invalid, err)
	}
	if slices.ContainsFunc(words[1:], func(w string) bool { return strings.HasPrefix(w, "-") && strings.Contains(w, "e") }) {
		tree.Stmts = append(statements("set -e"), tree.Stmts...)
	}
	if err := allowed(tree, base == "bash"); err != nil {
		return nil, err
	}
	for _, stmt := range tree.Stmts {
		tails(stmt)
	}
	watched(tree)
	subshells(tree)
	tested(tree)
	return &script{tree, base == "bash"}, nil
}

func tooLong() error { return errs.Errorf(errs.Invalid, "a script of more than %d bytes", textLimit) }

// machine are the variables that the interpreter asks this machine for, or that differ from run to run.
var machine = []string{"$", "PPID", "RANDOM", "SRANDOM", "SECONDS", "EPOCHSECONDS", "EPOCHREALTIME", "BASHPID"}

// allowed refuses what the interpreter would ask this machine for, or do with it.
func allowed(tree *syntax.File, bash bool) (err error) {
	depth := 0
	syntax.Walk(tree, func(n syntax.Node) bool {
		if n == nil {
			depth--
			return true
		}
		if depth++; depth > nestedLimit {
			err = errs.Errorf(errs.Invalid, "it is nested more than %d-fold", nestedLimit)
		}
		switch n.(type) {
		case *syntax.CallExpr, *syntax.Redirect, *syntax.DeclClause:
			if variables(n) > wordsLimit {
				err = errs.Errorf(errs.Invalid, "more than %d variables in one command", wordsLimit)
			}
		}
		switch n := n.(type) {
		case *syntax.ParamExp:
			switch {
			case n.Param != nil && slices.Contains(machine, n.Param.Value):
				err = &UnknownError{"it uses $" + n.Param.Value}
			case n.Excl:
				err = &UnknownError{"it uses ${!…}"} // any of them
			case n.Repl != nil && (n.Repl.With != nil && len(n.Repl.With.Parts) > 0 && (n.Repl.With.Lit() == "" || len(n.Repl.With.Lit()) > 4)):
				err = &UnknownError{"it puts more than 4 letters, or a variable, into ${…/…/…}"}
			}
		case *syntax.DeclClause:
			if n.Variant.Value != "export" && slices.ContainsFunc(n.Args, func(a *syntax.Assign) bool { return a.Naked && a.Value != nil && refers(a.Value.Lit()) }) {
				err = &UnknownError{"it uses variables that stand for others"}
			}
		case *syntax.TimeClause:
			err = &UnknownError{"it measures time"}
		case *syntax.Stmt:
			if n.Background || n.Coprocess {
				err = &UnknownError{"it starts something in the background"}
			}
		case *syntax.Word:
			if name := ofMachine(constant(n)); name != "" {
				err = &UnknownError{"it uses $" + name}
			}
			if first, ok := n.Parts[0].(*syntax.Lit); ok && len(first.Value) > 1 && first.Value[0] == '~' && first.Value[1] != '/' {
				err = &UnknownError{"it uses " + first.Value}
			}
			switch {
			case !syntax.SplitBraces(n):
			case !bash:
				err = &UnknownError{"it uses {…,…}, which sh does not expand"}
			case braces(n) > 1:
				err = &UnknownError{"it uses {…..…}, or several of {…,…}"}
			}
		case *syntax.ProcSubst:
			err = &UnknownError{"it uses <(…)"}
		}
		return err == nil
	})
	return err
}

// ofMachine returns the name in machine that value is, or "": a sum takes the name of a variable for its value, and the name in that
// one's value too, so that such a name is as good as the variable wherever it stands.
func ofMachine(value string) string {
	if value = strings.TrimSpace(value); len(value) > 1 && slices.Contains(machine, value) {
		return value
	}
	return ""
}

// constant returns what w is, quoted or not, when it has no variables; else "".
func constant(w *syntax.Word) string {
	var s string
	for _, part := range w.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
			s += p.Value
		case *syntax.SglQuoted:
			s += p.Value
		case *syntax.DblQuoted:
			s += constant(&syntax.Word{Parts: p.Parts})
		default:
			return ""
		}
	}
	return s
}

// variables returns how many variables and outputs of commands n is expanded from.
func variables(n syntax.Node) (count int) {
	syntax.Walk(n, func(n syntax.Node) bool {
		switch n.(type) {
		case *syntax.ParamExp, *syntax.ArithmExp:
			count++
		case *syntax.CmdSubst:
			count++
			return false
		case *syntax.Stmt:
			return false
		}
		return true
	})
	return count
}

// braces returns how many lists in braces w has; a sequence, or a list with words of several parts, is many.
func braces(w *syntax.Word) (count int) {
	const many = 100
	for _, part := range w.Parts {
		b, ok := part.(*syntax.BraceExp)
		if !ok {
			continue
		}
		if count++; b.Sequence {
			count += many
		}
		for _, one := range b.Elems {
			count += braces(one)
		}
	}
	return count
}

// watched makes x=$y of each x=$(:)$y: the command asks about variables before another one grows. It reports whether there
// was one.
func watched(tree *syntax.File) (grows bool) {
	watch := func(w *syntax.Word) {
		if w == nil || variables(w) == 0 {
			return
		}
		grows = true
		w.Parts = append([]syntax.WordPart{&syntax.CmdSubst{Stmts: statements(":")}}, w.Parts...)
	}
	var words []*syntax.Word
	syntax.Walk(tree, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Assign:
			words = append(words, n.Value)
			if n.Array != nil {
				for _, one := range n.Array.Elems {
					words = append(words, one.Value)
				}
			}
		case *syntax.ParamExp:
			if n.Exp != nil && (n.Exp.Op == syntax.AssignUnset || n.Exp.Op == syntax.AssignUnsetOrNull) {
				words = append(words, n.Exp.Word)
			}
		}
		return true
	})
	for _, w := range words {
		watch(w)
	}
	return grows
}

// refers reports whether option, of declare, makes a variable stand for another.
func refers(option string) bool {
	return strings.HasPrefix(option, "-") && strings.Contains(option, "n")
}

// later returns text, which a script has put together or reads from a file and runs, as it shall run; or refuses it.
func (r *run) later(text string) (string, error) {
	if len(text) > textLimit {
		return "", tooLong()
	}
	tree, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		return text, nil //nolint:nilerr // the interpreter says so, and the script goes on with its exit code
	}
	var unknown *UnknownError
	if err := allowed(tree, true); errors.As(err, &unknown) {
		return "", r.fail("%s", unknown.What)
	} else if err != nil {
		return "", err
	}
	if grows, parts, asked := watched(tree), subshells(tree), tested(tree); !grows && !parts && !asked {
		return text, nil
	}
	var out strings.Builder
	err = syntax.NewPrinter().Print(&out, tree)
	return out.String(), err
}

// tails makes "if A; then B; fi" of a list "A && B" at the end of an if, case or loop outside of functions. With set -e a
// failing A ends neither the list nor what is around it; the interpreter ends the script there.
func tails(stmt *syntax.Stmt) {
	bodies := func(lists ...[]*syntax.Stmt) {
		for _, list := range lists {
			for _, inner := range list {
				tails(inner)
			}
			if len(list) == 0 {
				continue
			}
			last := list[len(list)-1]
			if and, ok := last.Cmd.(*syntax.BinaryCmd); ok && and.Op == syntax.AndStmt && !last.Negated && len(last.Redirs) == 0 {
				last.Cmd = &syntax.IfClause{Cond: []*syntax.Stmt{and.X}, Then: []*syntax.Stmt{and.Y}}
			}
		}
	}
	switch c := stmt.Cmd.(type) {
	case *syntax.IfClause:
		for ; c != nil; c = c.Else {
			bodies(c.Then)
		}
	case *syntax.CaseClause:
		for _, one := range c.Items {
			bodies(one.Stmts)
		}
	case *syntax.ForClause:
		bodies(c.Do)
	case *syntax.WhileClause:
		bodies(c.Do)
	case *syntax.Block:
		bodies(c.Stmts)
	}
}

// subshells makes each command of a pipe one of a shell of its own, as every sh does, and "exit" of "return" in a subshell, which
// ends that alone; the interpreter runs the last command of a pipe itself, and knows no function in a subshell. It
// reports whether there was something to change.
func subshells(tree *syntax.File) (changed bool) {
	var parts []*syntax.Stmt
	syntax.Walk(tree, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.BinaryCmd:
			if n.Op != syntax.Pipe && n.Op != syntax.PipeAll {
				break
			}
			changed = true
			if pipe, ok := n.Y.Cmd.(*syntax.BinaryCmd); !ok || pipe.Op != syntax.Pipe && pipe.Op != syntax.PipeAll {
				n.Y = &syntax.Stmt{Cmd: &syntax.Subshell{Stmts: []*syntax.Stmt{n.Y}}}
			}
			parts = append(parts, n.X, n.Y)
		case *syntax.Subshell:
			parts = append(parts, n.Stmts...)
		case *syntax.CmdSubst:
			parts = append(parts, n.Stmts...)
		}
		return true
	})
	for _, part := range parts {
		syntax.Walk(part, func(n syntax.Node) bool {
			if call, ok := n.(*syntax.CallExpr); ok && len(call.Args) > 0 && call.Args[0].Lit() == "return" {
				call.Args[0].Parts[0].(*syntax.Lit).Value = "exit"
				changed = true
			}
			_, function := n.(*syntax.FuncDecl)
			return !function
		})
	}
	return changed
}

// tested makes "(A; B)" to "(set +e; A; B)" where a condition stands: what fails there ends nothing, and the interpreter forgets that
// at the border of a subshell. It reports whether there was something to change.
func tested(tree *syntax.File) (changed bool) {
	var conditions []*syntax.Stmt
	syntax.Walk(tree, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.IfClause:
			conditions = append(conditions, n.Cond...)
		case *syntax.WhileClause:
			conditions = append(conditions, n.Cond...)
		case *syntax.BinaryCmd:
			if n.Op == syntax.AndStmt || n.Op == syntax.OrStmt {
				conditions = append(conditions, n.X)
			}
		case *syntax.Stmt:
			if n.Negated {
				conditions = append(conditions, n)
			}
		}
		return true
	})
	done := map[*syntax.Subshell]bool{}
	for _, c := range conditions {
		syntax.Walk(c, func(n syntax.Node) bool {
			if sub, ok := n.(*syntax.Subshell); ok && !done[sub] {
				done[sub], changed = true, true
				sub.Stmts = append(statements("set +e"), sub.Stmts...)
			}
			_, other := n.(*syntax.CmdSubst) // a shell of its own, where -e holds
			return !other
		})
	}
	return changed
}

// statements returns text, which is ours, parsed.
func statements(text string) []*syntax.Stmt {
	tree, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		panic(err)
	}
	return tree.Stmts
}
