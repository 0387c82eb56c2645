package resolve

import (
	"cmp"
	"slices"
	"strings"

	"overland/internal/alpine"
	"overland/internal/errs"
)

// Request says what is wanted.
type Request struct {
	Packages []string // NAME, NAME=VERSION or with another operator of apk; NAME@REPOSITORY takes it from that one only
	Exclude  []string // names that must not be in the set, nor what provides them
	Cuts     []Cut
}

// Cut is a dependency that is not followed.
type Cut struct {
	Package string // that has it
	Depends string // the name that it depends on
}

// Answer is what was chosen.
type Answer struct {
	Packages []*Package // in the order in which apk installs them: what is needed first
	Cuts     []Cut      // those of the request that left something out, in its order
}

// triesLimit is how often a choice may be undone. Real sets need none, and what goes on for longer has no end.
const triesLimit = 1000

// Resolve returns the set for r. When there is none the error is errs.Invalid and says in a sentence what is missing,
// or what conflicts with what, and which packages led there.
func (x *Pool) Resolve(r Request) (*Answer, error) {
	x.sort()
	s := &search{pool: x, request: &r, of: map[*name]*state{}, out: map[*Package]*reason{}, applied: map[*Package]bool{}, wished: map[*name]bool{}}
	world, err := x.world(&r)
	if err != nil {
		return nil, err
	}
	for _, w := range world {
		s.discover(w.on)
		s.wished[w.on] = s.wished[w.on] || !w.Not
	}
	for _, w := range world {
		if err := s.from(w); err != nil {
			return nil, err
		}
		w := need{alpine.Dependency{Name: w.Name, Op: w.Op, Version: w.Version, Not: w.Not}, w.on}
		if why := s.constrain(nil, w); why != nil {
			return nil, why.err(s)
		}
	}
	if why := s.run(); why != nil {
		return nil, why.err(s)
	}
	answer := &Answer{Packages: s.ordered(world)}
	for _, c := range r.Cuts {
		if slices.ContainsFunc(answer.Packages, func(p *Package) bool { return s.cuts(p, c) }) {
			answer.Cuts = append(answer.Cuts, c)
		}
	}
	return answer, nil
}

// wish is what a person asked for.
type wish struct {
	need
	repository string // "" = any
}

// world returns the wishes of r, sorted by name.
func (x *Pool) world(r *Request) ([]wish, error) {
	var list []wish
	for _, text := range r.Packages {
		word, repository, _ := strings.Cut(text, "@")
		d, err := alpine.ParseDependency(word)
		if err != nil {
			return nil, err
		}
		if repository != "" {
			if _, known := x.ranks[repository]; !known {
				return nil, errs.Errorf(errs.Invalid, "%.100s: there is no repository %s", text, repository)
			}
		}
		switch {
		case d.Not:
			return nil, errs.Hint(errs.Errorf(errs.Invalid, "%s is not a package", word), "what must not be in it goes under exclude")
		case slices.Contains(r.Exclude, d.Name):
			return nil, errs.Errorf(errs.Invalid, "%s is wanted and excluded", d.Name)
		}
		list = append(list, wish{need{d, x.name(d.Name)}, repository})
	}
	for _, text := range r.Exclude {
		list = append(list, wish{need{alpine.Dependency{Name: text, Not: true}, x.name(text)}, ""})
	}
	slices.SortStableFunc(list, func(a, b wish) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// search is one call of Resolve. What changes it is on the trail, so that it can be undone.
type search struct {
	pool    *Pool
	request *Request
	of      map[*name]*state
	out     map[*Package]*reason // what cannot be chosen, and why
	applied map[*Package]bool    // its dependencies are constraints
	open    []*name              // required or brought in, in the order in which that was found; may have chosen ones too
	dirty   []*name              // to be looked at again
	wished  map[*name]bool
	trail   []func()
	seen    int // names
	tries   int
	first   *reason // the first problem that was met
}

// state is what is known of a name.
type state struct {
	order    int // of discovery: what a package depends on comes before it
	required []requirement
	not      []requirement // constraints of the form "!name"
	locked   bool
	chosen   provider
	opened   bool // it is in open
	dirty    bool
}

// requirement is a dependency with the package that has it.
type requirement struct {
	by *Package // nil = a person
	d  need
}

func (s *search) at(n *name) *state {
	st := s.of[n]
	if st == nil {
		st = &state{}
		s.of[n] = st
	}
	return st
}

// discover numbers n and all names that it may lead to.
func (s *search) discover(n *name) {
	if _, seen := s.of[n]; seen {
		return
	}
	st := s.at(n)
	for _, v := range n.providers {
		for _, d := range v.p.depends {
			if !s.cut(v.p, d) {
				s.discover(d.on)
			}
		}
	}
	for _, v := range n.providers {
		for _, other := range v.p.called().brings {
			s.discover(other)
		}
		for _, w := range v.p.provides[1:] {
			if _, seen := s.of[w.name]; seen {
				continue
			}
			s.discover(w.name)
			for _, other := range w.name.brings {
				s.discover(other)
			}
		}
	}
	s.seen++
	st.order = s.seen
}

// called returns the name that p is called.
func (p *Package) called() *name { return p.provides[0].name }

func (s *search) cut(p *Package, d need) bool {
	return !d.Not && slices.Contains(s.request.Cuts, Cut{p.Name, d.Name})
}

func (s *search) cuts(p *Package, c Cut) bool {
	return p.Name == c.Package && slices.ContainsFunc(p.depends, func(d need) bool { return !d.Not && d.Name == c.Depends })
}

// do notes how to undo what was just done.
func (s *search) do(undo func()) { s.trail = append(s.trail, undo) }

func (s *search) undo(mark int) {
	for len(s.trail) > mark {
		s.trail[len(s.trail)-1]()
		s.trail = s.trail[:len(s.trail)-1]
	}
	for _, n := range s.dirty {
		s.at(n).dirty = false
	}
	s.dirty = s.dirty[:0]
}

// from leaves out what is not from the repository that w names.
func (s *search) from(w wish) error {
	if w.repository == "" {
		return nil
	}
	found := false
	for _, v := range w.on.providers {
		if v.p.Repository == w.repository {
			found = true
		} else if why := s.exclude(v.p, &reason{kind: elsewhere, p: v.p, text: w.repository}); why != nil {
			return why.err(s)
		}
	}
	if !found {
		return errs.Errorf(errs.Invalid, "%s is not in the repository %s", w.Name, w.repository)
	}
	return nil
}

// constrain makes d, a dependency of by, hold for all that is chosen.
func (s *search) constrain(by *Package, d need) *reason {
	st := s.at(d.on)
	r := requirement{by, d}
	if d.Not {
		st.not = append(st.not, r)
		s.do(func() { st.not = st.not[:len(st.not)-1] })
	} else {
		s.require(d.on, r)
	}
	for _, v := range d.on.providers {
		if !d.is(v.version) {
			if why := s.exclude(v.p, &reason{kind: refused, p: v.p, by: r}); why != nil {
				return why
			}
		}
	}
	if st.locked && !d.Not && st.chosen.p == nil {
		return &reason{kind: missing, name: d.on}
	}
	return nil
}

// require notes that something must have the name n.
func (s *search) require(n *name, r requirement) {
	st := s.at(n)
	st.required = append(st.required, r)
	s.do(func() { st.required = st.required[:len(st.required)-1] })
	if len(st.required) == 1 {
		s.openUp(n)
		s.soil(n)
	}
}

func (s *search) openUp(n *name) {
	st := s.at(n)
	if st.opened {
		return
	}
	st.opened = true
	s.open = append(s.open, n)
	s.do(func() { st.opened = false; s.open = s.open[:len(s.open)-1] })
}

// soil puts n among those that are looked at again.
func (s *search) soil(n *name) {
	st := s.of[n]
	if st == nil || st.dirty || st.locked || len(st.required) == 0 {
		return
	}
	st.dirty = true
	s.dirty = append(s.dirty, n)
}

// exclude keeps p out of the set; the reason that it returns says that p is in it.
func (s *search) exclude(p *Package, why *reason) *reason {
	if s.out[p] != nil {
		return nil
	}
	if s.of[p.called()] != nil && s.of[p.called()].chosen.p == p {
		return why
	}
	s.out[p] = why
	s.do(func() { delete(s.out, p) })
	for _, v := range p.provides {
		s.soil(v.name)
		for _, n := range v.name.neededBy {
			s.soil(n)
		}
	}
	return nil
}

// can reports whether d may still come to hold.
func (s *search) can(d need) bool {
	st := s.at(d.on)
	if st.locked {
		if st.chosen.p == nil {
			return d.Not
		}
		return d.is(st.chosen.version)
	}
	if d.Not && len(st.required) == 0 {
		return true
	}
	return slices.ContainsFunc(d.on.providers, func(v provider) bool { return s.out[v.p] == nil && d.is(v.version) })
}

// settle looks at all names that are dirty, until nothing follows any more.
func (s *search) settle() *reason {
	for len(s.dirty) > 0 {
		n := s.dirty[0]
		s.dirty = s.dirty[1:]
		st := s.at(n)
		st.dirty = false
		if st.locked || len(st.required) == 0 {
			continue
		}
		if why := s.look(n); why != nil {
			return why
		}
	}
	return nil
}

// look draws the conclusions from what can still have the required name n.
func (s *search) look(n *name) *reason {
	var options []provider
	for _, v := range n.providers {
		if s.out[v.p] != nil {
			continue
		}
		for _, d := range v.p.depends {
			if s.cut(v.p, d) || s.can(d) {
				continue
			}
			if why := s.exclude(v.p, &reason{kind: lacks, p: v.p, by: requirement{v.p, d}}); why != nil {
				return why
			}
			break
		}
		if s.out[v.p] == nil {
			options = append(options, v)
		}
	}
	switch len(options) {
	case 0:
		return &reason{kind: missing, name: n}
	case 1:
		if why := s.apply(options[0].p); why != nil {
			return why
		}
	default:
		s.common(options)
	}
	return s.together(n, options)
}

// apply makes the dependencies of p, which must be in the set, constraints.
func (s *search) apply(p *Package) *reason {
	if s.applied[p] {
		return nil
	}
	s.applied[p] = true
	s.do(func() { delete(s.applied, p) })
	for _, d := range p.depends {
		if s.cut(p, d) {
			continue
		}
		if why := s.constrain(p, d); why != nil {
			return why
		}
	}
	return nil
}

// common requires the names that all options depend on.
func (s *search) common(options []provider) {
	for _, d := range options[0].p.depends {
		everywhere := func(v provider) bool {
			return slices.ContainsFunc(v.p.depends, func(o need) bool { return o.on == d.on && !o.Not && !s.cut(v.p, o) })
		}
		if !d.Not && len(s.at(d.on).required) == 0 && !slices.ContainsFunc(options, func(v provider) bool { return !everywhere(v) }) {
			s.require(d.on, requirement{options[0].p, need{alpine.Dependency{Name: d.Name}, d.on}})
		}
	}
}

// together leaves out what has a name that all options of n have too, but does not have n: only one package can.
func (s *search) together(n *name, options []provider) *reason {
	for _, shared := range options[0].p.provides {
		if shared.name == n {
			continue
		}
		virtual := false
		all := !slices.ContainsFunc(options, func(v provider) bool {
			at := slices.IndexFunc(v.p.provides, func(o provided) bool { return o.name == shared.name })
			virtual = virtual || v.version == "" || at >= 0 && v.p.provides[at].version == ""
			return at < 0
		})
		if !all {
			continue
		}
		for _, v := range shared.name.providers {
			if s.out[v.p] != nil || virtual && v.version == "" {
				continue
			}
			if slices.ContainsFunc(v.p.provides, func(o provided) bool { return o.name == n || virtual && o.version == "" }) {
				continue
			}
			if why := s.exclude(v.p, &reason{kind: taken, p: v.p, name: shared.name, other: options[0].p}); why != nil {
				return why
			}
		}
	}
	return nil
}

// selects reports whether v is chosen without that somebody names it.
func (s *search) selects(v provider) bool {
	own := s.of[v.p.called()]
	return v.version != "" || v.p.ProviderPriority > 0 || own != nil && len(own.required) > 0
}

// triggered reports whether all that p's install_if lists is there.
func (s *search) triggered(p *Package) bool {
	return len(p.installIf) > 0 && !slices.ContainsFunc(p.installIf, func(d need) bool {
		st := s.of[d.on]
		return st == nil || !st.locked || st.chosen.p == nil && !d.Not || st.chosen.p != nil && !d.is(st.chosen.version)
	})
}
