package httpx

import (
	"testing"
	"time"
)

// An address that the machine has got since is one of its own soon; until then nothing is read again.
func TestTheMachinesAddressesAreReadAgain(t *testing.T) {
	own, err := Addresses()
	if err != nil || len(own) == 0 {
		t.Fatalf("this machine has no address: %v", err)
	}
	if h := (&Hosts{when: time.Now()}); h.has(own[0]) {
		t.Error("they are read for every request")
	}
	if h := (&Hosts{when: time.Now().Add(-addressesFor - time.Second)}); !h.has(own[0]) {
		t.Error("a new address stays unknown")
	}
}
