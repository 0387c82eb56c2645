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
	os.Exit(m.Run())
}
