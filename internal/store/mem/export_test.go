package mem

import "overland/internal/digest"

// Damage flips a bit of the blob d, as bad memory does.
func (s *Store) Damage(d digest.Digest) { s.blobs[d][77] ^= 1 }
