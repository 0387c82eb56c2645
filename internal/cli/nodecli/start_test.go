package nodecli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/agent/host"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// An install does not wait for an agent that cannot start, only because its supervisor runs: the
// reason is known, and it is printed.
func TestAnAgentThatDoesNotStartSaysWhy(t *testing.T) {
	for name, file := range map[string]string{"noted by the supervisor": "agent/failure", "in the log alone": "log/agent.log"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, file)
			for _, d := range []string{filepath.Dir(path), filepath.Join(dir, "agent")} {
				if err := os.MkdirAll(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(path, []byte("mkdir /var/lib/overland/run: not a directory\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			lock, err := fsx.TryLock(filepath.Join(dir, "agent", "lock"))
			if err != nil {
				t.Fatal(err)
			}
			defer lock.Unlock()
			if !(&host.Host{Dir: dir}).Running(t.Context()) {
				t.Fatal("no supervisor is seen")
			}
			var said bytes.Buffer
			_, err = awaitOutcome(t.Context(), env{err: &said}, dir, 1, time.Millisecond)
			if errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "run: not a directory") || !strings.Contains(errs.HintOf(err), "agent.log") {
				t.Errorf("%v, hint %q", err, errs.HintOf(err))
			}
		})
	}
}
