package bins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Later builds program pkg with another Go than this one, in whose package time it is 400 days later, and returns its path in
// dir. The Go is a module, as every toolchain.
func Later(ctx context.Context, pkg, dir string) (string, error) {
	version := "go1.27.0"
	if version == runtime.Version() {
		version = "go1.26.8"
	}
	find := exec.CommandContext(ctx, "go", "env", "GOROOT")
	find.Env = append(os.Environ(), "GOTOOLCHAIN="+version)
	out, err := find.Output()
	if err != nil {
		return "", fmt.Errorf("get %s: %w", version, err)
	}
	// Its files are those of the module cache, which an overlay must not replace.
	root := filepath.Join(dir, "go")
	if err := os.Symlink(strings.TrimSpace(string(out)), root); err != nil {
		return "", err
	}
	name := filepath.Join(root, "src", "time", "time.go")
	text, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	const now = "sec, nsec, mono := runtimeNow()\n"
	at := strings.Index(string(text), "func Now() Time {\n\t"+now)
	if at < 0 {
		return "", errors.New("time.Now is not what it was")
	}
	later := string(text[:at]) + strings.Replace(string(text[at:]), now, now+"\tsec += 400 * 24 * 3600\n", 1)
	replaced := filepath.Join(dir, "time.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {name: replaced}})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := errors.Join(os.WriteFile(replaced, []byte(later), 0o600), os.WriteFile(list, overlay, 0o600)); err != nil {
		return "", err
	}
	path := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin", "go"), "build", "-overlay", list, "-trimpath", "-buildvcs=false", "-tags", Tags, "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOROOT="+root, "GOTOOLCHAIN=local")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s with %s: %w\n%s", pkg, version, err, out)
	}
	return path, nil
}
