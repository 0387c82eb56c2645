package resolve

import (
	"cmp"
	"slices"

	"overland/internal/alpine"
)

// Package is a package with its repository.
type Package struct {
	*alpine.Info
	Repository string
	rank       int // of the repository: the first one is preferred
	depends    []need
	installIf  []need
	provides   []provided // its own name first
}

// need is a dependency, and the name that it speaks of.
type need struct {
	alpine.Dependency
	on *name
}

// provided is a name that a package has, or provides.
type provided struct {
	name    *name
	version string // "" = it says none
}

// name is what a dependency may speak of.
type name struct {
	text      string
	providers []provider
	neededBy  []*name // names of packages that depend on it
	brings    []*name // names of packages whose install_if has it
}

// provider is a package that has a name, or provides it.
type provider struct {
	p       *Package
	version string // "" = it says none
}

// Pool is what packages can be chosen from, for one architecture. Resolve does not change what it gives.
type Pool struct {
	arch   string
	ranks  map[string]int
	names  map[string]*name
	all    []*Package
	sorted bool
}

// NewPool returns a Pool without packages, for an architecture of Alpine such as "armhf".
func NewPool(arch string) *Pool {
	return &Pool{arch: arch, ranks: map[string]int{}, names: map[string]*name{}}
}

// Add adds p. Repositories are added in the order of their importance: of one version that two have, the first
// one counts. Packages for another architecture are left out.
func (x *Pool) Add(repository string, p *alpine.Info) {
	if p.Architecture != "noarch" && p.Architecture != x.arch {
		return
	}
	rank, known := x.ranks[repository]
	if !known {
		rank = len(x.ranks)
		x.ranks[repository] = rank
	}
	own := x.name(p.Name)
	for _, old := range own.providers {
		if old.p.Name == p.Name && old.p.Version == p.Version {
			return
		}
	}
	c := &Package{Info: p, Repository: repository, rank: rank}
	c.provides = append(c.provides, provided{own, p.Version})
	for _, v := range p.Provides {
		if n := x.name(v.Name); !slices.ContainsFunc(c.provides, func(o provided) bool { return o.name == n && o.version == v.Version }) {
			c.provides = append(c.provides, provided{n, v.Version})
		}
	}
	for _, v := range c.provides {
		v.name.providers = append(v.name.providers, provider{c, v.version})
	}
	for _, d := range p.Depends {
		n := x.name(d.Name)
		c.depends = append(c.depends, need{d, n})
		once(&n.neededBy, own)
	}
	for _, d := range p.InstallIf {
		n := x.name(d.Name)
		c.installIf = append(c.installIf, need{d, n})
		once(&n.brings, own)
	}
	x.all = append(x.all, c)
	x.sorted = false
}

func once(list *[]*name, n *name) {
	if !slices.Contains(*list, n) {
		*list = append(*list, n)
	}
}

func (x *Pool) name(text string) *name {
	n := x.names[text]
	if n == nil {
		n = &name{text: text}
		x.names[text] = n
	}
	return n
}

// sort makes the order of everything that of names, whatever order the indexes had.
func (x *Pool) sort() {
	if x.sorted {
		return
	}
	x.sorted = true
	byText := func(a, b *name) int { return cmp.Compare(a.text, b.text) }
	for _, n := range x.names {
		slices.SortFunc(n.neededBy, byText)
		slices.SortFunc(n.brings, byText)
		slices.SortStableFunc(n.providers, func(a, b provider) int {
			return cmp.Or(cmp.Compare(a.p.rank, b.p.rank), cmp.Compare(a.p.Name, b.p.Name), alpine.CompareVersions(a.p.Version, b.p.Version))
		})
	}
}

// is reports whether a package that has the name of d with that version is what d asks for.
func (d need) is(version string) bool { return d.Holds(version) != d.Not }
