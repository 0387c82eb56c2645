package binary

import (
	"fmt"
	"slices"
	"strings"

	"overland/internal/platform"
	"overland/internal/record/shacache/client"
)

// choose returns the entries of list that run on here, the nearest kind first, newer before older; and why each of the
// others does not.
func choose(here platform.Host, list []client.Found, old bool) (fit []client.Found, others []string) {
	for _, f := range list {
		why := refuses(here, f.Entry, old)
		if why == "" {
			fit = append(fit, f)
			continue
		}
		line := kindOf(f.Entry).String() + ": " + why
		if !slices.Contains(others, line) {
			others = append(others, line)
		}
	}
	slices.SortStableFunc(fit, func(a, b client.Found) int {
		x, y := kindOf(a.Entry), kindOf(b.Entry)
		switch {
		case here.Better(x, y):
			return -1
		case here.Better(y, x):
			return 1
		}
		return 0
	})
	return fit, others
}

const showOthers = 10

// notFor says what there is for other kinds of machines.
func notFor(here platform.Host, others []string) string {
	shown := others[:min(showOthers, len(others))]
	text := fmt.Sprintf("nothing for this machine (%s); there is\n  %s", here, strings.Join(shown, "\n  "))
	if more := len(others) - len(shown); more > 0 {
		text += fmt.Sprintf("\n  … and %d more", more)
	}
	return text
}
