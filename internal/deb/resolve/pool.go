package resolve

import (
	"cmp"
	"slices"

	"overland/internal/deb"
)

// Archive is where packages are from. Of two versions, the one of the archive with the higher priority is
// taken, whatever the versions are.
type Archive struct {
	Name     string // "debian-security/trixie-security"
	Priority int    // 0 = the usual one
}

// Package is a package with its archive.
type Package struct {
	*deb.Package
	Archive *Archive
}

// Pool is what packages can be chosen from, for one architecture. It is not changed by Resolve.
type Pool struct {
	arch  string
	names map[string]*name
}

// name is what a relation may mean: the packages that are called so, and those that provide it.
type name struct {
	id        int // in the order in which the indexes mention it
	text      string
	essential bool
	important bool
	versions  []*Package
	provided  []provided
}

// provided is one package that provides a name.
type provided struct {
	by      *Package
	version string // "" = it says none
}

// NewPool returns a Pool without packages, for a Debian architecture such as "armel".
func NewPool(arch string) *Pool { return &Pool{arch: arch, names: map[string]*name{}} }

// Add adds p. The archives are added in the order of their importance: of one version that two have, the
// first one counts. Packages for another architecture are left out.
func (x *Pool) Add(a *Archive, p *deb.Package) {
	if p.Architecture != "all" && p.Architecture != x.arch {
		return
	}
	n := x.name(p.Name)
	n.essential = n.essential || p.Essential
	n.important = n.important || p.Important
	for _, old := range n.versions {
		if deb.CompareVersions(old.Version, p.Version) == 0 {
			return
		}
	}
	pkg := &Package{p, a}
	n.versions = append(n.versions, pkg)
	// In this order, for apt's last word between equals is the order in which it read their names.
	for _, field := range [][]deb.Alternatives{p.PreDepends, p.Depends, p.Conflicts, p.Breaks, p.Recommends, p.Suggests, p.Replaces, p.Enhances} {
		for _, alternatives := range field {
			for _, r := range alternatives {
				x.name(r.Name)
			}
		}
	}
	for _, alternatives := range p.Provides {
		for _, r := range alternatives {
			n := x.name(r.Name)
			n.provided = append(n.provided, provided{pkg, r.Version})
		}
	}
}

func (x *Pool) name(text string) *name {
	n := x.names[text]
	if n == nil {
		n = &name{id: len(x.names), text: text}
		x.names[text] = n
	}
	return n
}

// best returns the package of n that is taken if no version is asked for; nil when there is none.
func (n *name) best(request *Request) *Package {
	if n == nil || slices.Contains(request.Exclude, n.text) {
		return nil
	}
	pin := request.Pins[n.text]
	var best *Package
	for _, p := range n.versions {
		if pin != "" && deb.CompareVersions(p.Version, pin) != 0 {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(p.Archive.Priority, best.Archive.Priority), deb.CompareVersions(p.Version, best.Version)) > 0 {
			best = p
		}
	}
	return best
}

// priorities are those of deb-control(5), the most important first.
var priorities = []string{"required", "important", "standard", "optional", "extra"}

func priority(p *Package) int {
	if at := slices.Index(priorities, p.Priority); at >= 0 {
		return at
	}
	return len(priorities) - 1
}
