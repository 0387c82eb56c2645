package resolve

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"overland/internal/deb"
	"overland/internal/errs"
)

// Request says what is wanted.
type Request struct {
	Packages []string          // names; their order means nothing
	Pins     map[string]string // the version that a package must have, by its name
	Exclude  []string          // packages that must not be in the set
	Cuts     []Cut
}

// Cut is a dependency that is not followed.
type Cut struct {
	Package string // that has it
	Depends string // the first name of the alternatives
}

// Answer is what was chosen.
type Answer struct {
	Packages []*Package // sorted by name
	Cuts     []Cut      // those of the request that left something out, in its order
}

// stepsLimit is how often a package may be tried. Real sets need a few thousand, and what goes on for
// longer has no end.
const stepsLimit = 30_000

// Resolve returns the set for r. When there is none the error is errs.Invalid and says in a sentence
// what is missing, or what conflicts with what, and which packages led there.
func (x *Pool) Resolve(r Request) (*Answer, error) {
	s := &search{pool: x, request: &r, in: map[*name]*chosen{}, lack: map[*Package]*reason{}}
	var wished []*name
	for _, text := range r.Packages {
		n, err := x.wished(text, &r)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(wished, n) {
			wished = append(wished, n)
		}
	}
	slices.SortFunc(wished, func(a, b *name) int { return cmp.Compare(a.id, b.id) })
	for _, n := range wished {
		p := n.best(&r)
		why := s.lacking(p)
		if why == nil {
			why = s.conflict(p, nil)
		}
		if why != nil {
			return nil, why.err(s)
		}
		s.add(n, p, nil)
	}
	var first *todo
	for _, n := range slices.Backward(wished) {
		first = s.needs(s.in[n], first)
	}
	if why := s.run(first); why != nil {
		return nil, why.err(s)
	}
	answer := &Answer{}
	for _, c := range s.in {
		answer.Packages = append(answer.Packages, c.p)
	}
	slices.SortFunc(answer.Packages, func(a, b *Package) int { return cmp.Compare(a.Name, b.Name) })
	for _, c := range r.Cuts {
		if in := s.in[x.names[c.Package]]; in != nil && s.cuts(in.p, c) {
			answer.Cuts = append(answer.Cuts, c)
		}
	}
	return answer, nil
}

// wished returns the name of a package that can be had: of a name that only others provide a person chooses one.
func (x *Pool) wished(text string, r *Request) (*name, error) {
	n := x.names[text]
	if n != nil && n.best(r) != nil {
		return n, nil
	}
	switch {
	case slices.Contains(r.Exclude, text):
		return nil, errs.Errorf(errs.Invalid, "%s is wanted and excluded", text)
	case n != nil && len(n.versions) > 0:
		return nil, errs.Errorf(errs.Invalid, "%s is pinned to %s; there is %s", text, r.Pins[text], n.versions[0].Version)
	case n != nil && len(n.provided) > 0:
		var list []string
		for _, p := range n.provided {
			list = append(list, p.by.Name)
		}
		slices.Sort(list)
		const most = 8
		list = slices.Compact(list)
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "%s is not a package: others provide it", text),
			"name one of them: %s", strings.Join(list[:min(most, len(list))], ", "))
	}
	return nil, errs.Errorf(errs.Invalid, "no archive has a package %.100s for %s", text, x.arch)
}

// search is one call of Resolve.
type search struct {
	pool    *Pool
	request *Request
	in      map[*name]*chosen
	order   []*name              // of in
	lack    map[*Package]*reason // what lacking found out
	steps   int
}

// chosen is a package of the set, and what led to it.
type chosen struct {
	p     *Package
	cause *chosen // nil = a person wanted it
	dep   deb.Alternatives
}

// todo is a dependency that is still to be followed.
type todo struct {
	of   *chosen
	dep  deb.Alternatives
	next *todo
}

func (s *search) add(n *name, p *Package, t *todo) *chosen {
	c := &chosen{p: p}
	if t != nil {
		c.cause, c.dep = t.of, t.dep
	}
	s.in[n] = c
	s.order = append(s.order, n)
	return c
}

func (s *search) undo(mark int) {
	for _, n := range s.order[mark:] {
		delete(s.in, n)
	}
	s.order = s.order[:mark]
}

// cuts reports whether p has the dependency c.
func (s *search) cuts(p *Package, c Cut) bool {
	for _, field := range [][]deb.Alternatives{p.PreDepends, p.Depends} {
		for _, dep := range field {
			if p.Name == c.Package && dep[0].Name == c.Depends {
				return true
			}
		}
	}
	return false
}

// needs returns the dependencies of c, but for those that are cut, before next.
func (s *search) needs(c *chosen, next *todo) *todo {
	for _, field := range [][]deb.Alternatives{c.p.Depends, c.p.PreDepends} {
		for _, dep := range slices.Backward(field) {
			if !slices.Contains(s.request.Cuts, Cut{c.p.Name, dep[0].Name}) {
				next = &todo{c, dep, next}
			}
		}
	}
	return next
}

// run follows t and all after it. It returns nil when the set is whole; else the set is what it had
// come to, and the caller undoes that.
func (s *search) run(t *todo) *reason {
	for ; t != nil; t = t.next {
		if s.satisfied(t.dep) {
			continue
		}
		var why *reason // what the best option met
		blamed := map[*chosen]bool{t.of: true}
		for _, p := range s.options(t.dep) {
			if s.steps++; s.steps > stepsLimit {
				return &reason{todo: t, endless: true}
			}
			no := s.lacking(p)
			if no == nil {
				no = s.conflict(p, t)
			}
			if no != nil {
				why = cmp.Or(why, no)
				blamed[no.other] = true
				continue
			}
			mark := len(s.order)
			c := s.add(s.pool.names[p.Name], p, t)
			if no = s.run(s.needs(c, t.next)); no == nil || no.endless {
				return no
			}
			s.undo(mark)
			if !no.blames(c) { // whatever is chosen here, the same goes wrong again
				return no
			}
			why = cmp.Or(why, no)
			maps.Copy(blamed, no.blamed)
		}
		found := *cmp.Or(why, &reason{todo: t})
		found.blamed = blamed
		return &found
	}
	return nil
}

// lacking returns the dependency that keeps p out of every set, because no archive has what it asks
// for, or what that asks for, and so on; nil when there is none.
func (s *search) lacking(p *Package) *reason {
	if why, known := s.lack[p]; known {
		return why
	}
	s.lack[p] = nil // while it is looked at: of a circle, something else must be the problem
	var found *reason
	for t := s.needs(&chosen{p: p}, nil); t != nil && found == nil; t = t.next {
		found = &reason{todo: t}
		for _, option := range s.options(t.dep) {
			why := s.lacking(option)
			if why == nil {
				found = nil
				break
			}
			if found.todo == t {
				found = why
			}
		}
	}
	s.lack[p] = found
	return found
}

// satisfied reports whether a package of the set is one of dep.
func (s *search) satisfied(dep deb.Alternatives) bool {
	return slices.ContainsFunc(dep, func(r deb.Relation) bool {
		n := s.pool.names[r.Name]
		if n == nil {
			return false
		}
		if c := s.in[n]; c != nil && is(c.p, r) {
			return true
		}
		return slices.ContainsFunc(n.provided, func(v provided) bool {
			c := s.in[s.pool.names[v.by.Name]]
			return c != nil && c.p == v.by && v.is(r)
		})
	})
}

// options returns the packages that satisfy dep, the best first.
func (s *search) options(dep deb.Alternatives) []*Package {
	var all []*Package
	for _, r := range dep {
		n := s.pool.names[r.Name]
		if n == nil {
			continue
		}
		var some []*Package
		if p := n.best(s.request); p != nil && is(p, r) {
			some = append(some, p)
		}
		for _, v := range n.provided {
			if owner := s.pool.names[v.by.Name]; v.is(r) && owner.best(s.request) == v.by {
				some = append(some, v.by)
			}
		}
		slices.SortStableFunc(some, func(a, b *Package) int { return s.better(a, b, r.Name) })
		all = append(all, some...)
	}
	var each []*Package
	for _, p := range all {
		if !slices.Contains(each, p) {
			each = append(each, p)
		}
	}
	return each
}

// better compares two packages that satisfy one relation to the name called text: as apt does.
func (s *search) better(a, b *Package, text string) int {
	x, y := s.pool.names[a.Name], s.pool.names[b.Name]
	return cmp.Or(
		first(a.Name == text, b.Name == text),
		first(x.essential, y.essential),
		first(x.important, y.important),
		cmp.Compare(priority(a), priority(b)),
		cmp.Compare(y.id, x.id),
	)
}

func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// is reports whether p is what r asks for by p's own name.
func is(p *Package, r deb.Relation) bool {
	return (r.Arch == "" || r.Arch == p.Architecture || r.Arch == "any" && p.MultiArch == "allowed") && r.Holds(p.Version)
}

// is reports whether what v says is what r asks for.
func (v provided) is(r deb.Relation) bool {
	return (r.Arch == "" || r.Arch == "any" && v.by.MultiArch == "allowed") && (r.Op == "" || v.version != "" && r.Holds(v.version))
}

// conflict returns why p cannot join the set; nil when it can.
func (s *search) conflict(p *Package, t *todo) *reason {
	own := s.pool.names[p.Name]
	if c := s.in[own]; c != nil && c.p != p {
		return &reason{todo: t, p: p, other: c}
	}
	for _, field := range [][]deb.Alternatives{p.Conflicts, p.Breaks} {
		for _, dep := range field {
			if c := s.hit(dep[0], p); c != nil {
				return &reason{todo: t, p: p, other: c, by: dep}
			}
		}
	}
	for _, n := range s.order {
		c := s.in[n]
		for _, field := range [][]deb.Alternatives{c.p.Conflicts, c.p.Breaks} {
			for _, dep := range field {
				if c.p != p && means(dep[0], p) {
					return &reason{todo: t, p: p, other: c, by: dep, theirs: true}
				}
			}
		}
	}
	return nil
}

// hit returns the package of the set, other than p, that r means.
func (s *search) hit(r deb.Relation, p *Package) *chosen {
	n := s.pool.names[r.Name]
	if n == nil {
		return nil
	}
	if c := s.in[n]; c != nil && c.p.Name != p.Name && is(c.p, r) {
		return c
	}
	for _, v := range n.provided {
		if c := s.in[s.pool.names[v.by.Name]]; c != nil && c.p == v.by && v.by.Name != p.Name && v.is(r) {
			return c
		}
	}
	return nil
}

// means reports whether r is p, or something that p provides.
func means(r deb.Relation, p *Package) bool {
	if r.Name == p.Name && is(p, r) {
		return true
	}
	for _, alternatives := range p.Provides {
		if v := alternatives[0]; v.Name == r.Name && (provided{p, v.Version}).is(r) {
			return true
		}
	}
	return false
}
