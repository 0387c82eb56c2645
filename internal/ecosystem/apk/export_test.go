package apk

import "overland/internal/alpine"

// Tables returns the indexes that p has read, by the digest of each.
func (p *Protocol) Tables() map[string]*alpine.Index { return p.tables }
