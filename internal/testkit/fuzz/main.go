// Command fuzz runs the fuzz targets of the packages that are named, one after the other,
// and stops at the first that fails. Targets are found as the go command sees the files, so
// that a build constraint counts.
//
//	fuzz [-list] [-fuzztime 500x] PACKAGE…
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	list := flag.Bool("list", false, "print the targets and run none")
	fuzztime := flag.String("fuzztime", "500x", "how long each target runs: a count of inputs (500x) or a time (30s)")
	flag.Parse()
	targets, err := find(".", flag.Args()...)
	for _, t := range targets {
		if err != nil {
			break
		}
		if *list {
			fmt.Println(t.pkg, t.name)
			continue
		}
		cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", *fuzztime, "-fuzzminimizetime", "10x", t.pkg)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err = cmd.Run(); err != nil {
			err = fmt.Errorf("%s in %s: %w", t.name, t.pkg, err)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// target is one fuzz target.
type target struct{ pkg, name string }

// find returns the targets of the packages that the patterns name in the module
// at dir, in the order of go list.
func find(dir string, patterns ...string) ([]target, error) {
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles"}, patterns...)...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var targets []target
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath, Dir           string
			TestGoFiles, XTestGoFiles []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return targets, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		for _, name := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			for _, decl := range f.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") {
					targets = append(targets, target{p.ImportPath, fn.Name.Name})
				}
			}
		}
	}
}
