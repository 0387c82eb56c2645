package deb

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// Package is what a Packages index says of one package.
type Package struct {
	Name, Version string
	Architecture  string // "all" for those that fit each
	MultiArch     string // "same", "foreign", "allowed"; "" = no
	Source        string // the source package, without its version; "" = of the same name
	Priority      string
	Essential     bool
	Important     bool // "Protected: yes"
	File          File
	Filename      string // a clean path below the archive

	PreDepends, Depends, Conflicts, Breaks, Recommends, Suggests, Replaces, Enhances, Provides []Alternatives
}

// The fields of a package in an index. Those from relationsFrom on name other packages.
const (
	fieldPackage = iota
	fieldVersion
	fieldArchitecture
	fieldMultiArch
	fieldSource
	fieldPriority
	fieldEssential
	fieldImportant
	fieldProtected
	fieldFilename
	fieldSize
	fieldSHA256
	relationsFrom
)

var packageFields = []string{
	"package", "version", "architecture", "multi-arch", "source", "priority", "essential", "important", "protected", "filename", "size", "sha256",
	"pre-depends", "depends", "conflicts", "breaks", "recommends", "suggests", "replaces", "enhances", "provides",
}

// ReadPackages calls each with every package of r, an unpacked Packages index, in its order, until
// each returns an error, which it returns. An index that does not parse, is longer than IndexLimit
// or has a package without a name, a version or a sha256 is errs.Invalid.
func ReadPackages(r io.Reader, each func(*Package) error) error {
	d := NewDecoder(fsx.Limit(r, IndexLimit), packageFields...)
	var room relations
	for n := 0; ; n++ {
		p, err := d.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n == indexPackages {
			err = fmt.Errorf("more than %d packages", n)
		}
		if err != nil {
			return errs.E(errs.Invalid, fmt.Errorf("index: %w", err))
		}
		pkg, err := parsePackage(p, &room)
		if err != nil {
			return errs.E(errs.Invalid, fmt.Errorf("index: before line %d: %w", d.line, err))
		}
		if err := each(pkg); err != nil {
			return err
		}
	}
}

// parsePackage returns what the values p of packageFields say.
func parsePackage(p []string, room *relations) (*Package, error) {
	pkg := &Package{
		Name: p[fieldPackage], Version: p[fieldVersion], Architecture: p[fieldArchitecture], MultiArch: p[fieldMultiArch], Priority: p[fieldPriority],
		Essential: p[fieldEssential] == "yes", Important: p[fieldImportant] == "yes" || p[fieldProtected] == "yes", Filename: p[fieldFilename],
	}
	pkg.Source, _, _ = strings.Cut(p[fieldSource], " ")
	if pkg.MultiArch == "no" {
		pkg.MultiArch = ""
	}
	if !IsName(pkg.Name) || pkg.Version == "" || strings.ContainsAny(pkg.Version, " \t\n/") {
		return nil, fmt.Errorf("package %.100q, version %.100q", pkg.Name, pkg.Version)
	}
	var err error
	if pkg.File.Size, err = parseSize(p[fieldSize]); err != nil {
		return nil, fmt.Errorf("%s: %w", pkg.Name, err)
	}
	const digits = 64
	if pkg.File.SHA256 = p[fieldSHA256]; !isHex(pkg.File.SHA256, digits) || !filepath.IsLocal(pkg.Filename) || strings.ContainsAny(pkg.Filename, "\\\n") {
		return nil, fmt.Errorf("%s: sha256 %.100q of the file %.100q", pkg.Name, pkg.File.SHA256, pkg.Filename)
	}
	for i, into := range [...]*[]Alternatives{
		&pkg.PreDepends, &pkg.Depends, &pkg.Conflicts, &pkg.Breaks, &pkg.Recommends, &pkg.Suggests, &pkg.Replaces, &pkg.Enhances, &pkg.Provides,
	} {
		if *into, err = room.parse(p[relationsFrom+i]); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", pkg.Name, packageFields[relationsFrom+i], err)
		}
	}
	return pkg, nil
}
