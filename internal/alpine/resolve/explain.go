package resolve

import (
	"fmt"
	"slices"
	"strings"

	"overland/internal/errs"
)

type kind int

const (
	missing   kind = iota // nothing has the name that is required
	refused               // p is not what the requirement by asks for
	lacks                 // p depends on what cannot be had
	taken                 // other has the name that p has too
	choice                // several provide the name, and a person must name one
	elsewhere             // p is in another repository than the one that was asked for
	endless               // it goes on for too long
)

// reason explains why no set exists, or why a package is left out of one.
type reason struct {
	kind  kind
	name  *name
	p     *Package
	by    requirement
	other *Package
	text  string
}

// final reports whether another choice does not help: a person must choose, or it takes too long.
func (r *reason) final() bool { return r.kind == choice || r.kind == endless }

func (r *reason) err(s *search) error {
	hint := "leave one of them out, or exclude what stands in the way"
	var text string
	switch r.kind {
	case choice:
		var list []string
		for _, v := range r.name.providers {
			if s.out[v.p] == nil && !slices.Contains(list, v.p.Name) {
				list = append(list, v.p.Name)
			}
		}
		const most = 8
		return errs.Hint(errs.Errorf(errs.Invalid, "%s is not a package: others provide it%s", r.name.text, s.way(r.name)),
			"name one of them: %s", strings.Join(list[:min(most, len(list))], ", "))
	case missing:
		if len(r.name.providers) == 0 && s.wished[r.name] {
			return errs.Errorf(errs.Invalid, "no repository has a package %.100s for %s", r.name.text, s.pool.arch)
		}
		text = s.missing(r.name, 0)
	case endless:
		text = fmt.Sprintf("no set was found after %d tries", triesLimit)
		if s.first != nil {
			return errs.Hint(fmt.Errorf("%w; %s", s.first.err(s), text), "%s", hint)
		}
	default:
		text = s.say(r, 0) + s.led(r.p)
	}
	return errs.Hint(errs.Errorf(errs.Invalid, "these packages do not go together: %s", text), "%s", hint)
}

// missing says why nothing has the name n.
func (s *search) missing(n *name, depth int) string {
	var text string
	if st := s.of[n]; st != nil && len(st.required) > 0 {
		text = s.asks(st.required[len(st.required)-1])
	} else {
		text = n.text + " is needed"
	}
	return text + ", " + s.nobody(n, depth)
}

// nobody says why no package with the name n can be taken.
func (s *search) nobody(n *name, depth int) string {
	if len(n.providers) == 0 {
		return "which no repository has"
	}
	var list []string
	const most, deep = 2, 4
	for _, v := range n.providers {
		if why := s.out[v.p]; why != nil && len(list) < most && depth < deep {
			list = append(list, s.say(why, depth+1))
		}
	}
	if len(list) == 0 {
		return "and there is none that can be taken"
	}
	return "but " + strings.Join(list, ", and ")
}

// asks says what a requirement is.
func (s *search) asks(r requirement) string {
	if r.by == nil {
		return r.d.String() + " is wanted"
	}
	if r.d.Not {
		return fmt.Sprintf("%s conflicts with %s%s", r.by.Name, strings.TrimPrefix(r.d.String(), "!"), s.led(r.by))
	}
	return fmt.Sprintf("%s depends on %s%s", r.by.Name, r.d, s.led(r.by))
}

// say says why r.p cannot be taken.
func (s *search) say(r *reason, depth int) string {
	p := fmt.Sprintf("%s %s", r.p.Name, r.p.Version)
	switch r.kind {
	case refused:
		what := p
		if r.by.d.on != r.p.called() {
			what += " provides " + r.by.d.Name
		}
		switch {
		case r.by.by == nil && r.by.d.Not:
			return what + ", which is excluded"
		case r.by.d.Not:
			return fmt.Sprintf("%s conflicts with %s, which is %s", r.by.by.Name, strings.TrimPrefix(r.by.d.String(), "!"), p)
		}
		return fmt.Sprintf("there is %s and %s", what, s.asks(r.by))
	case lacks:
		if r.by.d.Not {
			what := "is there"
			if st := s.of[r.by.d.on]; st != nil && len(st.required) > 0 {
				what = "cannot be left out, for " + s.asks(st.required[0])
			}
			return fmt.Sprintf("%s conflicts with %s, which %s", p, strings.TrimPrefix(r.by.d.String(), "!"), what)
		}
		return fmt.Sprintf("%s depends on %s, %s", p, r.by.d, s.nobody(r.by.d.on, depth))
	case taken:
		return fmt.Sprintf("%s and %s both have %s", r.other.Name+" "+r.other.Version, p, r.name.text)
	case elsewhere:
		return fmt.Sprintf("%s is in %s, not in %s", p, r.p.Repository, r.text)
	}
	return p + " cannot be taken"
}

// way says which packages led to the name n, the nearest first.
func (s *search) way(n *name) string {
	st := s.of[n]
	if st == nil || len(st.required) == 0 || st.required[0].by == nil {
		return ""
	}
	return " (needed by " + st.required[0].by.Name + s.rest(st.required[0].by) + ")"
}

// led says which packages led to p.
func (s *search) led(p *Package) string {
	if p == nil {
		return ""
	}
	rest := s.rest(p)
	if rest == "" {
		return ""
	}
	return " (needed" + strings.TrimPrefix(rest, ",") + ")"
}

// rest returns ", by a, by b" for what led to p.
func (s *search) rest(p *Package) string {
	const most = 4
	var out strings.Builder
	for range most {
		var next *Package
		for _, v := range p.provides {
			if st := s.of[v.name]; st != nil && len(st.required) > 0 && st.required[0].by != p {
				if st.required[0].by == nil {
					return out.String()
				}
				next = st.required[0].by
				break
			}
		}
		if next == nil {
			break
		}
		out.WriteString(", by " + next.Name)
		p = next
	}
	return out.String()
}
