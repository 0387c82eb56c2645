package mem

import (
	"testing"

	"overland/internal/digest"
	"overland/internal/store"
	"overland/internal/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(*testing.T) func() store.Store {
			s := &Store{}
			return func() store.Store { return s }
		},
		Damage: func(_ *testing.T, s store.Store, d digest.Digest) { s.(*Store).blobs[d][77] ^= 1 },
	})
}
