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

// ReadPackages calls each with every package of r, an unpacked Packages index, in its order, until
// each returns an error, which it returns. An index that does not parse, is longer than IndexLimit
// or has a package without a name, a version or a sha256 is errs.Invalid.
func ReadPackages(r io.Reader, each func(*Package) error) error {
	d := NewDecoder(fsx.Limit(r, IndexLimit), "package", "version", "architecture", "multi-arch", "source", "priority", "essential", "important",
		"protected", "filename", "size", "sha256", "pre-depends", "depends", "conflicts", "breaks", "recommends", "suggests", "replaces", "enhances", "provides")
	for n := 0; ; n++ {
		p, err := d.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n == indexPackages {
			err = fmt.Errorf("more than %d packages", n)
		}
		if err != nil {
			return errs.E(errs.Invalid, fmt.Errorf("index: %w", err))
		}
		pkg, err := parsePackage(p)
		if err != nil {
			return errs.E(errs.Invalid, fmt.Errorf("index: before line %d: %w", d.line, err))
		}
		if err := each(pkg); err != nil {
			return err
		}
	}
}

func parsePackage(p Paragraph) (*Package, error) {
	pkg := &Package{
		Name: p["package"], Version: p["version"], Architecture: p["architecture"], MultiArch: p["multi-arch"], Priority: p["priority"],
		Essential: p["essential"] == "yes", Important: p["important"] == "yes" || p["protected"] == "yes", Filename: p["filename"],
	}
	pkg.Source, _, _ = strings.Cut(p["source"], " ")
	if pkg.MultiArch == "no" {
		pkg.MultiArch = ""
	}
	if !IsName(pkg.Name) || pkg.Version == "" || strings.ContainsAny(pkg.Version, " \t\n/") {
		return nil, fmt.Errorf("package %.100q, version %.100q", pkg.Name, pkg.Version)
	}
	var err error
	if pkg.File.Size, err = parseSize(p["size"]); err != nil {
		return nil, fmt.Errorf("%s: %w", pkg.Name, err)
	}
	if pkg.File.SHA256 = p["sha256"]; !isHex(pkg.File.SHA256, 64) || !filepath.IsLocal(pkg.Filename) || strings.ContainsAny(pkg.Filename, "\\\n") {
		return nil, fmt.Errorf("%s: sha256 %.100q of the file %.100q", pkg.Name, pkg.File.SHA256, pkg.Filename)
	}
	for _, field := range [...]struct {
		name string
		into *[]Alternatives
	}{
		{"pre-depends", &pkg.PreDepends},
		{"depends", &pkg.Depends},
		{"conflicts", &pkg.Conflicts},
		{"breaks", &pkg.Breaks},
		{"recommends", &pkg.Recommends},
		{"suggests", &pkg.Suggests},
		{"replaces", &pkg.Replaces},
		{"enhances", &pkg.Enhances},
		{"provides", &pkg.Provides},
	} {
		if *field.into, err = ParseRelations(p[field.name]); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", pkg.Name, field.name, err)
		}
	}
	return pkg, nil
}
