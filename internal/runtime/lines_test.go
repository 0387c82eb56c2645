package runtime

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestLineBufferCutsWhatIsEndless(t *testing.T) {
	var l lineBuffer
	longest := 0
	for range 10 {
		for line := range l.add(bytes.Repeat([]byte("x"), 40<<10)) {
			longest = max(longest, len(line))
		}
		if len(l.rest) > logLine {
			t.Fatalf("holds %d bytes", len(l.rest))
		}
	}
	if longest == 0 || longest > 2*logLine {
		t.Errorf("longest line %d", longest)
	}
}

func TestOutputFindsTextAcrossWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.StringMatching(`[ab]{0,4}`).Draw(t, "want")
		parts := rapid.SliceOf(rapid.StringMatching(`[ab]{0,5}`)).Draw(t, "parts")
		o := newOutput(want)
		for _, p := range parts {
			if n, err := o.Write([]byte(p)); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		if text := strings.Join(parts, ""); o.found != strings.Contains(text, want) || string(o.kept) != text {
			t.Fatalf("found %v, kept %q", o.found, o.kept)
		}
	})
}
