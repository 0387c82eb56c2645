package deb

import (
	"strings"

	"overland/internal/errs"
)

const relationLimit = 20_000 // alternatives in one field; the longest ones known have 3,000

// Relation is one package that a field such as Depends names.
type Relation struct {
	Name    string
	Arch    string // the qualifier: "any" of "python3:any"; "" = none
	Op      string // "<<", "<=", "=", ">=", ">>"; "" = any version
	Version string
}

// String returns r as a field has it.
func (r Relation) String() string {
	s := r.Name
	if r.Arch != "" {
		s += ":" + r.Arch
	}
	if r.Op != "" {
		s += " (" + r.Op + " " + r.Version + ")"
	}
	return s
}

// Holds reports whether version is one that r asks for.
func (r Relation) Holds(version string) bool {
	c := CompareVersions(version, r.Version)
	switch r.Op {
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=":
		return c == 0
	case ">=":
		return c >= 0
	case ">>":
		return c > 0
	}
	return r.Op == ""
}

// Alternatives are the relations of which one is enough: "a | b".
type Alternatives []Relation

// String returns a as a field has it.
func (a Alternatives) String() string {
	list := make([]string, len(a))
	for i, r := range a {
		list[i] = r.String()
	}
	return strings.Join(list, " | ")
}

// ParseRelations returns what the value of a field such as Depends or Provides says, in its order.
// It reads what an index has: architectures in brackets and build profiles, which only sources
// have, are errs.Invalid, and so is a field of more than 20,000 names.
func ParseRelations(field string) ([]Alternatives, error) {
	var room relations
	return room.parse(field)
}

// relations is room for the fields of an index, which has half a million relations: they are not allocated one by one.
type relations struct {
	all  []Relation
	list []Alternatives
}

// carve returns n zero elements, with no room for more, of *room, which grows when it is short of them.
func carve[T any](room *[]T, n int) []T {
	const many = 1024
	if cap(*room)-len(*room) < n {
		*room = make([]T, 0, max(n, many))
	}
	from := len(*room)
	*room = (*room)[:from+n]
	return (*room)[from : from+n : from+n]
}

func (room *relations) parse(field string) ([]Alternatives, error) {
	if field = strings.TrimSpace(field); field == "" {
		return nil, nil
	}
	field = strings.TrimSuffix(field, ",") // one at the end is allowed
	parts := 1 + strings.Count(field, ",")
	names := parts + strings.Count(field, "|")
	if names > relationLimit {
		return nil, errs.Errorf(errs.Invalid, "more than %d names in a field", relationLimit)
	}
	list, all := carve(&room.list, parts), carve(&room.all, names)
	for i, n := 0, 0; i < parts; i++ {
		var part, one string
		part, field, _ = strings.Cut(field, ",")
		first := n
		for more := true; more; n++ {
			one, part, more = strings.Cut(part, "|")
			var ok bool
			if all[n], ok = parseRelation(strings.TrimSpace(one)); !ok {
				return nil, errs.Errorf(errs.Invalid, "%.100q is not a package with a version", one)
			}
		}
		list[i] = all[first:n:n]
	}
	return list, nil
}

func parseRelation(s string) (r Relation, ok bool) {
	name, rest, versioned := strings.Cut(s, "(")
	r.Name = strings.TrimSpace(name)
	if versioned {
		inner, closed := strings.CutSuffix(strings.TrimSpace(rest), ")")
		n := 0
		for n < len(inner) && strings.IndexByte("<=>", inner[n]) >= 0 {
			n++
		}
		switch r.Op = inner[:n]; r.Op {
		case "<": // old names of these
			r.Op = "<="
		case ">":
			r.Op = ">="
		}
		r.Version = strings.TrimSpace(inner[n:])
		if !closed || r.Version == "" || strings.ContainsAny(r.Version, " \t\n()") || !strings.Contains(" << <= = >= >> ", " "+r.Op+" ") || r.Op == "" {
			return r, false
		}
	}
	r.Name, r.Arch, _ = strings.Cut(r.Name, ":")
	return r, IsName(r.Name) && (r.Arch == "" || IsName(r.Arch))
}

// IsName reports whether s can be the name of a package.
func IsName(s string) bool {
	const longest = 128
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && c != '-' && c != '+' && c != '.' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= longest && s[0] != '-' && s[0] != '.'
}
