package apt

import "overland/internal/deb"

// What the tests know of the inside: the start of a locked address and the length of a path.
const (
	LockedURI = lockedURI
	PathLimit = pathLimit
)

// Tables returns the indexes that p has read, by the sha256 of each.
func (p *Protocol) Tables() map[string]deb.Index { return p.tables }

// Archives returns the address of each archive of p, by its name.
func (p *Protocol) Archives() map[string]string {
	list := map[string]string{}
	for name, a := range p.archives {
		list[name] = a.uri.String()
	}
	return list
}
