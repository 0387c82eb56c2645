package progress_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"overland/internal/progress"
)

const mib = 1 << 20

var events = []progress.Event{
	{Step: "verifying", What: "site https://10.0.0.1:8443"},
	{Step: "build", What: "wallet for linux/arm/v6", Note: "compile go1.26.8"},
	{Step: "build", What: "wallet for linux/arm/v6", Note: "done go1.26.8", Done: 9, Total: 9, End: true},
	{Step: "fetching", What: "wallet@r4 node", Total: 20 * mib},
	{Step: "fetching", What: "wallet@r4 node", Done: 5 * mib, Total: 20 * mib, Rate: 300 << 10},
	{Step: "fetching", What: "wallet@r4 node", Done: 10 * mib, Total: 20 * mib, Rate: 300 << 10},
	{Step: "fetching", What: "wallet@r4 node", Done: 20 * mib, Total: 20 * mib, Rate: 300 << 10},
	{Step: "fetching", What: "wallet@r4 node", Done: 20 * mib, Total: 20 * mib},
	{Step: "self-testing", What: "wallet.node"},
	{Step: "seal", What: "a.volume", Done: 1, Total: 4},
}

// shown returns what a Bar writes of events, one every 5 s.
func shown(o progress.Options) string {
	var out bytes.Buffer
	at := time.Unix(1e9, 0)
	o.Now = func() time.Time { return at }
	b := progress.NewBar(&out, o)
	for _, e := range events {
		b.Show(e)
		at = at.Add(5 * time.Second)
	}
	b.Close()
	return out.String()
}

func TestPlainLines(t *testing.T) {
	want := `verifying site https://10.0.0.1:8443
build wallet for linux/arm/v6: compile go1.26.8
build wallet for linux/arm/v6: done go1.26.8 (5s)
fetching wallet@r4 node: 0 % of 20 MiB
fetching wallet@r4 node: 50 % of 20 MiB, 300 KiB/s
fetching wallet@r4 node: 20 MiB (15s)
self-testing wallet.node
seal a.volume: 25 % of 4 B
`
	if diff := cmp.Diff(want, shown(progress.Options{})); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestATerminal(t *testing.T) {
	const back = "\r\x1b[K"
	want := "verifying site https://10.0.0.1:8443\n" +
		"build wallet for linux/arm/v6: compile go1.26.8 …" + back + "build wallet for linux/arm/v6: done go1.26.8 (5s)\n" +
		"[------------------------] fetching wallet@r4 node: 0 % of 20 MiB" + back +
		"[######------------------] fetching wallet@r4 node: 25 % of 20 MiB, 300 KiB/s" + back +
		"[############------------] fetching wallet@r4 node: 50 % of 20 MiB, 300 KiB/s" + back +
		"fetching wallet@r4 node: 20 MiB (15s)\nself-testing wallet.node\n" +
		"[######------------------] seal a.volume: 25 % of 4 B" + back
	if diff := cmp.Diff(want, shown(progress.Options{Screen: true})); diff != "" {
		t.Errorf("screen (-want +got):\n%s", diff)
	}
}

func TestQuiet(t *testing.T) {
	if got := shown(progress.Options{Screen: true, Quiet: true}); got != "" {
		t.Errorf("printed %q", got)
	}
}

// A transfer that ended with bytes which were wrong begins again, and is shown again.
func TestATaskThatBeginsAgain(t *testing.T) {
	var out bytes.Buffer
	b := progress.NewBar(&out, progress.Options{Now: func() time.Time { return time.Unix(1e9, 0) }})
	for _, done := range []int64{4, 1, 4, 4} {
		b.Show(progress.Event{Step: "fetching", What: "x", Done: done, Total: 4})
	}
	const end = "fetching x: 4 B (0s)\n"
	if got, want := out.String(), end+"fetching x: 25 % of 4 B\n"+end; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

func TestText(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 300 << 10: "300 KiB", mib - 1: "1 MiB",
		17_400_000: "16.6 MiB", 100 * mib: "100 MiB", 10 << 30: "10 GiB", 5 << 60: "5 EiB",
	} {
		if got := progress.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		41 * time.Millisecond: "40ms", 12345 * time.Millisecond: "12.3s", 200400 * time.Millisecond: "3m20s",
	} {
		if got := progress.Duration(d); got != want {
			t.Errorf("Duration(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for s, want := range map[string]int64{"700": 700, "650MiB": 650 * mib, "2GB": 2e9, "1G": 1 << 30} {
		if got, err := progress.ParseBytes(s); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-1", "0", "x", "1.5GB", "9999999999TB", "5 GB", "GB"} {
		if n, err := progress.ParseBytes(s); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", s, n)
		}
	}
}

// A terminal is redrawn at most ten times a second, and what is neither
// counted nor noted is said once.
func TestABarIsCalm(t *testing.T) {
	var out bytes.Buffer
	at := time.Unix(1e9, 0)
	b := progress.NewBar(&out, progress.Options{Screen: true, Now: func() time.Time { return at }})
	for done := range int64(3) {
		b.Show(progress.Event{Step: "fetch", Done: done, Total: 4})
		at = at.Add(60 * time.Millisecond)
	}
	for range 2 {
		b.Show(progress.Event{Step: "start", What: "wallet"})
	}
	b.Close()
	const back = "\r\x1b[K"
	want := "[------------------------] fetch: 0 % of 4 B" + back + "[############------------] fetch: 50 % of 4 B" + back + "start wallet\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("screen (-want +got):\n%s", diff)
	}
}
