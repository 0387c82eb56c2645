package golang

import (
	"bytes"
	"path/filepath"
	"strconv"
	"strings"
	"text/scanner"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// maxAssembly is how long a file that the assembler reads may be, in bytes.
const maxAssembly = 64 << 20

// includes refuses an assembly file that includes a file outside of top, directly or not: the
// assembler reads every file that it can, relative to dir, the folder of the package. seen are the
// files that were checked already.
func includes(top, dir, file string, seen map[string]bool) error {
	if seen[file] {
		return nil
	}
	seen[file] = true
	text, err := fsx.ReadFile(file, maxAssembly)
	if err != nil {
		return err
	}
	for _, name := range quotedIn(text) {
		at, err := filepath.EvalSymlinks(filepath.Join(dir, name))
		missing := err != nil && filepath.IsLocal(name) // textflag.h, of the toolchain
		switch {
		case missing:
		case filepath.IsAbs(name), err != nil, !lies(top, at):
			return errs.Hint(errs.Errorf(errs.Invalid, "%s includes %q, from outside of the repository and of its module", file, name),
				"commit it, and include it by its path in the package")
		default:
			if err := includes(top, dir, at, seen); err != nil {
				return err
			}
		}
	}
	return nil
}

// quotedIn returns the names of files in an assembler's text, read as the assembler does: each word
// in quotes is one, wherever a macro may take it, but for data ($"…") and what follows #line N.
func quotedIn(text []byte) (names []string) {
	var s scanner.Scanner
	s.Init(bytes.NewReader(text))
	s.Mode = scanner.ScanChars | scanner.ScanFloats | scanner.ScanIdents | scanner.ScanInts | scanner.ScanStrings | scanner.SkipComments | scanner.ScanComments
	s.Whitespace ^= 1 << '\n'
	s.Error = func(*scanner.Scanner, string) {} // the assembler's to say
	var before rune
	for tok := s.Scan(); tok != scanner.EOF; before, tok = tok, s.Scan() {
		if tok != scanner.String || before == '$' || before == scanner.Int {
			continue
		}
		name, err := strconv.Unquote(s.TokenText())
		if err == nil && !strings.ContainsRune(name, 0) {
			names = append(names, name)
		}
	}
	return names
}

// moduleOf returns the folder in the module cache that holds the package in dir.
func moduleOf(dir string) string {
	for at := dir; at != filepath.Dir(at); at = filepath.Dir(at) {
		if strings.Contains(filepath.Base(at), "@") {
			return at
		}
	}
	return dir
}
