package switchover

import (
	"fmt"
	"slices"
	"strings"

	"overland/internal/agent/node"
	"overland/internal/progress"
)

// remedies returns pairs of words in the log of a confined service and the right that it probably
// lacked. The first pair that fits counts.
func remedies() [][2]string {
	return [][2]string{
		{"bind: permission denied", "ports below 1024 take `capabilities: [net_bind_service]` of the service in overland.yaml"},
		{"read-only file system", "a service writes to its volumes and /tmp only: pass it {{.Volumes.NAME}}, or name the path under `writable` in overland.yaml"},
		{"permission denied", notRoot},
		{"operation not permitted", notRoot},
	}
}

const notRoot = "a service is not root: `user`, `capabilities`, `writable` and `devices` in overland.yaml give it what it needs"

// lastLines is how many lines of a log belong to the last attempt for certain enough.
const lastLines = 3

// remedy returns the hint for a service that failed and wrote log, newest line last. It guesses from
// the words of the last lines: a hint, never a decision.
func remedy(log []string) string {
	const history = "overland-agent history shows the service's last log lines"
	text := strings.ToLower(strings.Join(log[max(0, len(log)-lastLines):], "\n"))
	for _, r := range remedies() {
		if strings.Contains(text, r[0]) {
			return r[1] + "; " + history
		}
	}
	return history
}

// tellStopped tells which applications of generation from are not in g: a machine that is made to
// follow another channel stops the whole of what it ran.
func (s *Switch) tellStopped(from int, g *node.Generation) {
	old, err := s.node.Generation(from)
	if from == 0 || err != nil {
		return
	}
	for _, app := range old.Apps {
		if !slices.ContainsFunc(g.Apps, func(a node.App) bool { return a.App == app.App }) {
			s.o.Progress(progress.Event{Step: "stop", What: fmt.Sprintf("%s: channel %s does not have it; its data stays", app.App, g.Channel)})
		}
	}
}
