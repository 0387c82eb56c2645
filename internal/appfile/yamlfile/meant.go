package yamlfile

import "overland/internal/printer"

// meant returns " · did you mean NAME?" for the one of names that s is probably a slip of, or "".
func meant(s string, names []string) string {
	if near := printer.Nearest(s, names); near != "" {
		return " · did you mean " + near + "?"
	}
	return ""
}
