package nodecli

import (
	"bytes"
	"overland/internal/nodeapi"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var steps = []nodeapi.Progress{
	{Step: "verify", What: "site https://10.0.0.1:8443"},
	{Step: "fetch", Done: 900, Total: 900}, // a manifest
	{Step: "fetch", What: "wallet@r4 node", Done: 0, Total: 20 << 20},
	{Step: "fetch", What: "wallet@r4 node", Done: 5 << 20, Total: 20 << 20, Rate: 300 << 10},
	{Step: "fetch", What: "wallet@r4 node", Done: 10 << 20, Total: 20 << 20, Rate: 300 << 10},
	{Step: "fetch", What: "wallet@r4 node", Done: 20 << 20, Total: 20 << 20, Rate: 300 << 10},
	{Step: "fetch", What: "wallet@r4 node", Done: 20 << 20, Total: 20 << 20},
	{Step: "selftest", What: "wallet.node"},
	{Step: "back", What: "service wallet.node failed"},
}

// printed returns what is printed of steps, one every 5 s.
func printed(screen bool) string {
	var b bytes.Buffer
	at := time.Unix(1e9, 0)
	m := &meter{w: &b, screen: screen, now: func() time.Time { return at }, told: map[string]time.Time{}, over: map[string]bool{}}
	for _, p := range steps {
		m.show(p)
		at = at.Add(respeak / 2)
	}
	return b.String()
}

func TestProgressInPlainLines(t *testing.T) {
	want := `verifying site https://10.0.0.1:8443
fetching wallet@r4 node: 0 % of 20 MiB
fetching wallet@r4 node: 50 % of 20 MiB, 300 KiB/s
fetching wallet@r4 node: 20 MiB, done
self-testing wallet.node
going back: service wallet.node failed
`
	if diff := cmp.Diff(want, printed(false)); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	const back = "\r\x1b[K"
	want := "verifying site https://10.0.0.1:8443\n" +
		"[------------------------] fetching wallet@r4 node: 0 % of 20 MiB" + back +
		"[######------------------] fetching wallet@r4 node: 25 % of 20 MiB, 300 KiB/s" + back +
		"[############------------] fetching wallet@r4 node: 50 % of 20 MiB, 300 KiB/s" + back +
		"fetching wallet@r4 node: 20 MiB, done\n" +
		"self-testing wallet.node\ngoing back: service wallet.node failed\n"
	if diff := cmp.Diff(want, printed(true)); diff != "" {
		t.Errorf("screen (-want +got):\n%s", diff)
	}
}
