package confine_test

import (
	"os"
	"testing"

	"overland/internal/confine"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == confine.Verb {
		confine.Main()
	}
	if len(os.Args) > 2 && os.Args[1] == attemptVerb {
		attempt(os.Args[2:])
		return
	}
	if len(os.Args) > 1 && os.Args[1] == probeVerb {
		probe()
		return
	}
	os.Exit(m.Run())
}
