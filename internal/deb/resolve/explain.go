package resolve

import (
	"fmt"
	"strings"

	"overland/internal/deb"
	"overland/internal/errs"
)

// reason is why a package cannot join the set.
type reason struct {
	todo    *todo            // what it is for; nil = a person wanted it
	p       *Package         // nil = there is none
	other   *chosen          // that it cannot stand beside
	by      deb.Alternatives // that says so; nil = it is another version of it
	theirs  bool             // other says so
	endless bool
	blamed  map[*chosen]bool // one of these must be another one before it helps to go on
}

// blames reports whether c, or what is there because of c, stands in the way.
func (r *reason) blames(c *chosen) bool {
	for b := range r.blamed {
		for ; b != nil; b = b.cause {
			if b == c {
				return true
			}
		}
	}
	return false
}

func (r *reason) err(s *search) error {
	var text string
	switch {
	case r.endless:
		text = fmt.Sprintf("no set found after %d tries, at %s", stepsLimit, r.todo.dep)
	case r.p == nil:
		text = fmt.Sprintf("%s depends on %s, which %s", r.todo.of.p.Name, r.todo.dep, s.lacks(r.todo.dep))
	case r.by == nil:
		text = fmt.Sprintf("%s %s cannot stand beside %s", r.p.Name, r.p.Version, r.other.p.Version)
	case r.theirs:
		text = fmt.Sprintf("%s conflicts with %s, which is %s %s", r.other.p.Name, r.by, r.p.Name, r.p.Version)
	default:
		text = fmt.Sprintf("%s conflicts with %s, which is %s %s", r.p.Name, r.by, r.other.p.Name, r.other.p.Version)
	}
	if r.p != nil && r.todo != nil {
		text += fmt.Sprintf("; %s depends on %s%s", r.todo.of.p.Name, r.todo.dep, way(r.todo.of))
	} else if r.todo != nil {
		text += way(r.todo.of)
	}
	if r.other != nil && r.other.cause != nil {
		text += fmt.Sprintf("; %s is there for %s%s", r.other.p.Name, r.other.cause.p.Name, way(r.other.cause))
	}
	return errs.Hint(errs.Errorf(errs.Invalid, "these packages do not go together: %s", text), "leave one of them out, or exclude what stands in the way")
}

// lacks says why nothing satisfies dep.
func (s *search) lacks(dep deb.Alternatives) string {
	for _, r := range dep {
		n := s.pool.names[r.Name]
		if n == nil || len(n.versions) == 0 {
			continue
		}
		p := n.best(s.request)
		if p == nil {
			return fmt.Sprintf("was excluded, or pinned to a version that no archive has: %s", n.text)
		}
		return fmt.Sprintf("no archive has: there is %s %s", p.Name, p.Version)
	}
	return "no archive has"
}

// way says which packages led to c, the nearest first.
func way(c *chosen) string {
	const most = 4
	var list []string
	for ; c.cause != nil && len(list) < most; c = c.cause {
		list = append(list, c.cause.p.Name)
	}
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf(" (needed by %s)", strings.Join(list, ", by "))
}
