package builder_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"overland/internal/builder"
	"overland/internal/platform"
)

// leading is a Builder whose result leads to another file, as a hostile tool could leave it.
type leading struct {
	giving
	to string
}

func (l *leading) Build(_ context.Context, _ builder.Job, _ builder.Recipe, _, scratch string) (builder.Output, error) {
	file := filepath.Join(scratch, "out")
	return builder.Output{File: file, Toolchain: "none"}, os.Symlink(l.to, file)
}

// A result that is a link is not followed: what it leads to would be released.
func TestS4AResultThatIsALink(t *testing.T) {
	s := newSite(t)
	secret := filepath.Join(t.TempDir(), "root.key")
	if err := os.WriteFile(secret, []byte("PRIVATE"), 0o600); err != nil {
		t.Fatal(err)
	}
	req := s.request(repository(t, map[string]string{"main": "1"}), app("a"))
	req.Builders = map[string]builder.Builder{"go": &leading{to: secret}}
	req.Platforms = []platform.Platform{"linux/amd64"}
	if built, err := builder.Run(t.Context(), s.depot, req); err == nil {
		t.Errorf("%+v", built)
	}
}
