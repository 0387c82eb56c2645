package npm

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"

	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
	"overland/internal/record"
)

// addresses returns the address of each registry, the longest first, with a protocol that
// answers there: for clients that have the registry from a file. A variable for a scope's has a
// name that not every shell passes on.
func (p *Protocol) addresses() (list []tool.Address) {
	all := map[string]bool{slashed(p.config.Registry): true}
	for s := range maps.Values(p.config.Scopes) {
		all[slashed(s)] = true
	}
	byLength := func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }
	for _, base := range slices.SortedFunc(maps.Keys(all), byLength) {
		list = append(list, tool.Address{Base: base, Protocol: oneOf{p, base}})
	}
	return list
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
