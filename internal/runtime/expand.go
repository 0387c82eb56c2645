package runtime

import (
	"maps"
	"slices"
	"strings"

	"overland/internal/errs"
)

// Expand returns s with each {{.Name}} replaced by vars["Name"], for example "Release.Version" or
// "Volumes.data". Spaces inside the braces are allowed. What is put in is not expanded again. An
// unknown name or an open "{{" is errs.Invalid.
func Expand(s string, vars map[string]string) (string, error) {
	var b strings.Builder
	for rest := s; ; {
		before, after, found := strings.Cut(rest, "{{")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		inner, tail, closed := strings.Cut(after, "}}")
		if !closed {
			return "", errs.Errorf(errs.Invalid, "expand %q: \"{{\" without \"}}\"", s)
		}
		name, dotted := strings.CutPrefix(strings.TrimSpace(inner), ".")
		value, known := vars[name]
		if !dotted || !known {
			return "", errs.Errorf(errs.Invalid, "expand %q: unknown {{%s}}; known: %s", s, inner, names(vars))
		}
		b.WriteString(value)
		rest = tail
	}
}

func names(vars map[string]string) string {
	list := slices.Sorted(maps.Keys(vars))
	for i, name := range list {
		list[i] = "{{." + name + "}}"
	}
	return strings.Join(list, " ")
}
