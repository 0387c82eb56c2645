package crash_test

import (
	"os"
	"testing"

	"overland/internal/confine"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == confine.Verb {
		confine.Main() // this program is the agent of real services
	}
	os.Exit(m.Run())
}
