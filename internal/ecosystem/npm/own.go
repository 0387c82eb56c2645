package npm

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"

	"overland/internal/errs"
	"overland/internal/record"
)

// Own calls own with the address of each registry, the longest first, and a protocol that answers there: for a proxy with
// clients that have the registry from a file. A variable for a scope's has a name that not every shell passes on.
func (p *Protocol) Own(own func(base string, protocol record.Protocol)) {
	all := map[string]bool{slashed(p.config.Registry): true}
	for s := range maps.Values(p.config.Scopes) {
		all[slashed(s)] = true
	}
	byLength := func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }
	for _, base := range slices.SortedFunc(maps.Keys(all), byLength) {
		own(base, oneOf{p, base})
	}
}

// oneOf is one of the registries: it has only the packages that npm asks it for.
type oneOf struct {
	*Protocol
	base string // with a slash at the end
}

// Item implements record.Protocol.
func (r oneOf) Item(req *http.Request) (record.Item, error) {
	if q, err := parsePath(req.URL.Path); err == nil && r.config.registry(q) != r.base {
		return record.Item{}, errs.Errorf(errs.Invalid, "npm: %s is of another registry", q.Name)
	}
	return r.Protocol.Item(req)
}

func slashed(base string) string { return strings.TrimRight(base, "/") + "/" }
