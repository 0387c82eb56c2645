package runtime

import (
	"maps"
	"slices"
	"strings"

	"overland/internal/appfile"
	"overland/internal/errs"
)

// Expand returns s with each {{.Name}} replaced by vars["Name"], for example "Release.Version" or
// "Volumes.data", as appfile.Expand does it. An unknown name or an open "{{" is errs.Invalid.
func Expand(s string, vars map[string]string) (string, error) {
	return appfile.Expand(s, func(name, inside string) (string, error) {
		if value, known := vars[name]; known {
			return value, nil
		}
		return "", errs.Errorf(errs.Invalid, "expand %q: unknown {{%s}}; known: %s, and %s for the braces themselves", s, inside, names(vars), appfile.Literal)
	})
}

func names(vars map[string]string) string {
	list := slices.Sorted(maps.Keys(vars))
	for i, name := range list {
		list[i] = "{{." + name + "}}"
	}
	return strings.Join(list, " ")
}
