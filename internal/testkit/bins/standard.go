package bins

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ShareStandard makes caches, a folder for compilers' caches, use the one standard library that the
// tests of all packages have compiled, for each release of Go and platform, beside the Go command's own
// cache. For tests that are not about a cold cache, and that change nothing in it.
func ShareStandard(ctx context.Context, caches string) error {
	out, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output()
	if err != nil {
		return fmt.Errorf("go env GOCACHE: %w", err)
	}
	shared := filepath.Join(strings.TrimSpace(string(out)), "overland-tests-std")
	for _, dir := range []string{shared, caches} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return os.Symlink(shared, filepath.Join(caches, "std"))
}
