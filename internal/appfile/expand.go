package appfile

import (
	"strings"

	"overland/internal/errs"
)

// Literal is how a text of overland.yaml that is expanded holds "{{" itself.
const Literal = `{{"{{"}}`

// Expand returns s with each {{.Name}} replaced by what value returns for "Name", and each Literal by
// "{{". Spaces inside the braces are allowed; what is put in is not expanded again. value is given the
// name, "" when what stands inside the braces has no dot in front, and all of what stands there; its
// error ends Expand. A "{{" without "}}" is errs.Invalid.
func Expand(s string, value func(name, inside string) (string, error)) (string, error) {
	const braces = `"{{"`
	var b strings.Builder
	for rest := s; ; {
		before, after, found := strings.Cut(rest, "{{")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		inside, tail, closed := strings.Cut(after, "}}")
		if !closed {
			return "", errs.Errorf(errs.Invalid, "%.60q: {{ without }}", s)
		}
		rest = tail
		if strings.TrimSpace(inside) == braces {
			b.WriteString("{{")
			continue
		}
		name, dotted := strings.CutPrefix(strings.TrimSpace(inside), ".")
		if !dotted {
			name = ""
		}
		text, err := value(name, inside)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
}
