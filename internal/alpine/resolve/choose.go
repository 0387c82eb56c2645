package resolve

import (
	"cmp"
	"slices"

	"overland/internal/alpine"
)

// run chooses until every name that is required has a package. It returns nil when the set is whole; else the
// caller undoes what was chosen.
func (s *search) run() *reason {
	for {
		if why := s.settle(); why != nil {
			s.first = cmp.Or(s.first, why)
			return why
		}
		n := s.next()
		if n == nil {
			return nil
		}
		options, why := s.options(n)
		if why != nil {
			s.first = cmp.Or(s.first, why)
			return why
		}
		if len(options) == 1 {
			if why := s.pick(n, options[0]); why != nil {
				s.first = cmp.Or(s.first, why)
				return why
			}
			continue
		}
		var first *reason
		for _, v := range options {
			if s.tries > triesLimit {
				return &reason{kind: endless}
			}
			mark := len(s.trail)
			why := s.pick(n, v)
			if why == nil {
				why = s.run()
			}
			if why == nil || why.final() {
				return why
			}
			s.tries++
			s.first = cmp.Or(s.first, why)
			first = cmp.Or(first, why)
			s.undo(mark)
		}
		return first
	}
}

// next returns the name that is to be chosen for next; nil when none is left.
func (s *search) next() *name {
	var best *name
	for _, n := range slices.Backward(s.open) {
		st := s.at(n)
		if st.locked {
			continue
		}
		if len(st.required) > 0 && s.only(n) && !slices.ContainsFunc(n.neededBy, func(o *name) bool { return s.of[o] != nil && !s.of[o].locked }) {
			return n
		}
		if best == nil || s.before(n, best) {
			best = n
		}
	}
	return best
}

// only reports whether there is one package that can have n, and it needs nobody who names it.
func (s *search) only(n *name) bool {
	count, auto := 0, false
	for _, v := range n.providers {
		if s.out[v.p] == nil {
			count++
			auto = auto || s.selects(v) || s.triggered(v.p)
		}
	}
	return count == 1 && auto
}

// before reports whether a is chosen for before b: first what needs nobody to name it, then what a person wished, then
// what was discovered last, for it is the nearest to the wishes.
func (s *search) before(a, b *name) bool {
	rank := func(n *name) (auto, wished int) {
		if slices.ContainsFunc(n.providers, func(v provider) bool {
			return s.out[v.p] == nil && (s.triggered(v.p) || len(s.at(n).required) > 0 && s.selects(v))
		}) {
			auto = 1
		}
		if s.wished[n] {
			wished = 1
		}
		return auto, wished
	}
	aAuto, aWished := rank(a)
	bAuto, bWished := rank(b)
	return cmp.Or(cmp.Compare(aAuto, bAuto), cmp.Compare(aWished, bWished), cmp.Compare(s.at(a).order, s.at(b).order)) > 0
}

// options returns what may have the name n, the best first. A provider without a package means that nothing has it.
func (s *search) options(n *name) ([]provider, *reason) {
	st := s.at(n)
	var list []provider
	left := 0
	for _, v := range n.providers {
		if s.out[v.p] != nil {
			continue
		}
		left++
		switch {
		case len(st.required) == 0 && !s.triggered(v.p):
		case s.selects(v):
			list = append(list, v)
		}
	}
	slices.SortStableFunc(list, func(a, b provider) int { return -better(a, b) })
	if len(st.required) == 0 {
		return append(list, provider{}), nil
	}
	if len(list) == 0 && left > 0 {
		return nil, &reason{kind: choice, name: n}
	}
	if len(list) == 0 {
		return nil, &reason{kind: missing, name: n}
	}
	return list, nil
}

// better compares two packages that may have one name.
func better(a, b provider) int {
	if a.version != "" && b.version != "" {
		if c := alpine.CompareVersions(a.version, b.version); c != 0 {
			return c
		}
	}
	if a.p.Name == b.p.Name {
		if c := alpine.CompareVersions(a.p.Version, b.p.Version); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(a.p.ProviderPriority, b.p.ProviderPriority), cmp.Compare(b.p.rank, a.p.rank))
}

// pick makes v what has the name n, and all that it provides.
func (s *search) pick(n *name, v provider) *reason {
	if v.p == nil {
		return s.lock(n, provider{})
	}
	for _, w := range v.p.provides {
		if why := s.lock(w.name, provider{v.p, w.version}); why != nil {
			return why
		}
	}
	return s.apply(v.p)
}

// lock makes v what has the name n, and leaves out what else has it.
func (s *search) lock(n *name, v provider) *reason {
	st := s.at(n)
	if st.locked {
		if st.chosen.p == v.p || st.chosen.version == "" && v.version == "" && st.chosen.p != nil {
			return nil
		}
		if st.chosen.p == nil { // nothing had it, and nobody asked
			old := st.chosen
			st.chosen = v
			s.do(func() { st.chosen = old })
			return nil
		}
		return &reason{kind: taken, p: v.p, name: n, other: st.chosen.p}
	}
	st.locked, st.chosen = true, v
	s.do(func() { st.locked, st.chosen = false, provider{} })
	for _, o := range n.providers {
		if v.p == nil || o.p == v.p || v.version == "" && o.version == "" {
			continue
		}
		if why := s.exclude(o.p, &reason{kind: taken, p: o.p, name: n, other: v.p}); why != nil {
			return why
		}
	}
	for _, o := range n.neededBy {
		s.soil(o)
	}
	for _, o := range n.brings {
		for _, w := range o.providers {
			if w.p.called() == o && s.out[w.p] == nil && s.triggered(w.p) {
				s.openUp(o)
			}
		}
	}
	return nil
}

// ordered returns the chosen packages that the wishes lead to, as apk installs them.
func (s *search) ordered(world []wish) []*Package {
	var list []*Package
	done, visited := map[*name]bool{}, map[*Package]bool{}
	var visit func(n *name)
	visit = func(n *name) {
		st := s.of[n]
		if done[n] || st == nil {
			return
		}
		done[n] = true
		p := st.chosen.p
		if p == nil || visited[p] {
			return
		}
		visited[p] = true
		for _, v := range p.provides {
			done[v.name] = true
		}
		for _, d := range p.depends {
			if !s.cut(p, d) {
				visit(d.on)
			}
		}
		list = append(list, p)
		for _, v := range p.provides {
			for _, o := range v.name.brings {
				other := s.of[o]
				if other == nil || other.chosen.p == nil || done[o] || len(other.chosen.p.installIf) == 0 {
					continue
				}
				if !slices.ContainsFunc(other.chosen.p.installIf, func(d need) bool { return !done[d.on] || !s.can(d) }) {
					visit(o)
				}
			}
		}
	}
	for _, w := range world {
		visit(w.on)
	}
	return list
}
