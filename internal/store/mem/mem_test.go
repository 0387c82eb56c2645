package mem_test

import (
	"testing"

	"overland/internal/digest"
	"overland/internal/store"
	"overland/internal/store/mem"
	"overland/internal/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(*testing.T) func() store.Store {
			s := &mem.Store{}
			return func() store.Store { return s }
		},
		Damage: func(_ *testing.T, s store.Store, d digest.Digest) { s.(*mem.Store).Damage(d) },
	})
}
