package nodecli

import (
	"strings"
	"testing"
	"time"

	"overland/internal/progress"
)

func TestStepsInWords(t *testing.T) {
	var out strings.Builder
	show := stepsOn(progress.NewBar(&out, progress.Options{Now: func() time.Time { return time.Unix(1e9, 0) }}))
	for _, e := range []progress.Event{
		{Step: "verify", What: "site https://10.0.0.1:8443"},
		{Step: "fetch", Done: 90 << 10, Total: 90 << 10},             // describes releases
		{Step: "fetch", What: "wallet@r4 list", Done: 1, Total: 900}, // small
		{Step: "fetch", What: "wallet@r4 node", Done: 5 << 20, Total: 20 << 20, Rate: 300 << 10},
		{Step: "stop", What: "chat: channel home does not have it"},
		{Step: "selftest", What: "wallet.node"},
		{Step: "back", What: "service wallet.node failed"},
	} {
		show(e)
	}
	want := `verifying site https://10.0.0.1:8443
fetching wallet@r4 node: 25 % of 20 MiB, 300 KiB/s
stopping chat: channel home does not have it
self-testing wallet.node
going back: service wallet.node failed
`
	if got := out.String(); got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
