package alpine

import (
	"slices"
	"strings"

	"overland/internal/errs"
)

// Dependency is one word of a list of dependencies, of what a package provides, or of what a person wishes:
// [!]NAME[OPERATOR VERSION].
type Dependency struct {
	Name    string
	Op      string // "", or one of operators
	Version string // "" without Op
	Not     bool   // "!": it must not be there
}

// operators are those that compare versions. "~" is: the same as far as the version goes.
var operators = []string{"=", "<", "<=", ">", ">=", "~", "=~", "~=", "<~", "<=~", ">~", ">=~"}

const operatorBytes = "<>=~"

// ParseDependency reads one Dependency; anything else is errs.Invalid.
func ParseDependency(word string) (Dependency, error) {
	var d Dependency
	rest := word
	rest, d.Not = strings.CutPrefix(rest, "!")
	d.Name = rest
	if at := strings.IndexAny(rest, operatorBytes); at >= 0 {
		d.Name = rest[:at]
		d.Version = strings.TrimLeft(rest[at:], operatorBytes)
		d.Op = rest[at : len(rest)-len(d.Version)]
		if !slices.Contains(operators, d.Op) || !ValidVersion(d.Version) {
			return d, errs.Errorf(errs.Invalid, "%.100q is not of the form NAME, NAME=VERSION or with another of %s", word, strings.Join(operators[:6], " "))
		}
	}
	if d.Name == "" || strings.ContainsAny(d.Name, "! \t\n\\") {
		return d, errs.Errorf(errs.Invalid, "%.100q is not a dependency", word)
	}
	return d, nil
}

// parseDependencies reads a list divided by spaces.
func parseDependencies(text string) ([]Dependency, error) {
	var list []Dependency
	for _, word := range strings.Fields(text) {
		d, err := ParseDependency(word)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// String returns d as it is written.
func (d Dependency) String() string {
	not := ""
	if d.Not {
		not = "!"
	}
	return not + d.Name + d.Op + d.Version
}

// Holds reports whether version, "" when none is said, is one that d's operator asks for. Whether d is negated is the
// caller's to look at.
func (d Dependency) Holds(version string) bool {
	if d.Op == "" {
		return true
	}
	if version == "" {
		return false
	}
	c := compare(version, d.Version, strings.Contains(d.Op, "~"))
	return c < 0 && strings.Contains(d.Op, "<") || c > 0 && strings.Contains(d.Op, ">") || c == 0 && strings.ContainsAny(d.Op, "=~")
}
