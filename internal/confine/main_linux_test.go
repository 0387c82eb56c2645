package confine_test

import (
	"os"
	"testing"

	"overland/internal/confine"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if os.Args[1] == confine.Verb {
			confine.Main()
		}
		if do := verbs[os.Args[1]]; do != nil {
			do(os.Args[2:])
			return
		}
	}
	os.Exit(m.Run())
}
