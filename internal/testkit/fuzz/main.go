// Command fuzz runs the fuzz targets of the packages that are named, one after the other,
// and stops at the first that fails. Targets are found as the go command sees the files, so
// that a build constraint counts. Each package is linked once, not once for each target.
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
	if err := run(*list, *fuzztime, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(list bool, fuzztime string, patterns []string) error {
	targets, err := find(".", patterns...)
	if err != nil {
		return err
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	dir, err := os.MkdirTemp("", "fuzz-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, linked := filepath.Join(dir, "fuzz.test"), ""
	for _, t := range targets {
		if list {
			fmt.Println(t.pkg, t.name)
			continue
		}
		if t.pkg != linked { // -fuzz with -c: instrumented
			if err := command(".", "go", "test", "-c", "-vet=off", "-fuzz", ".", "-o", program, t.pkg); err != nil {
				return fmt.Errorf("%s: %w", t.pkg, err)
			}
			linked = t.pkg
		}
		err := command(t.dir, program, "-test.run", "^$", "-test.fuzz", "^"+t.name+"$", "-test.fuzztime", fuzztime,
			"-test.fuzzminimizetime", "10x", "-test.fuzzcachedir", filepath.Join(strings.TrimSpace(string(cache)), "fuzz", filepath.FromSlash(t.pkg)), "-test.paniconexit0")
		if err != nil {
			return fmt.Errorf("%s in %s: %w", t.name, t.pkg, err)
		}
	}
	return nil
}

func command(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	return cmd.Run()
}

// target is one fuzz target.
type target struct{ pkg, dir, name string }

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
					targets = append(targets, target{p.ImportPath, p.Dir, fn.Name.Name})
				}
			}
		}
	}
}
