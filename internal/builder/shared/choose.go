package shared

import (
	"fmt"
	"slices"
	"strings"

	"overland/internal/errs"
	"overland/internal/netcache/client"
	"overland/internal/platform"
)

// Offer is an entry that is believed, and whether this machine can use it.
type Offer struct {
	client.Found
	Kind    platform.Host // of the machines that it is for
	Refused string        // why this machine does not run it; "" = it does
}

// offers returns list with a verdict for here: entries that run here first, then by
// nearness of kind, newer before older.
func offers(here platform.Host, list []client.Found, old bool) (all []Offer) {
	for _, f := range list {
		all = append(all, Offer{f, kindOf(f.Entry), refuses(here, f.Entry, old)})
	}
	slices.SortStableFunc(all, func(a, b Offer) int {
		switch {
		case (a.Refused == "") != (b.Refused == ""):
			return strings.Compare(a.Refused, b.Refused)
		case here.Better(a.Kind, b.Kind):
			return -1
		case here.Better(b.Kind, a.Kind):
			return 1
		}
		return 0
	})
	return all
}

// fitting returns those of all that this machine runs, or an error
// (errs.NotFound) that lists the others.
func fitting(here platform.Host, all []Offer) (fit []client.Found, err error) {
	var others []string
	for _, o := range all {
		if o.Refused == "" {
			fit = append(fit, o.Found)
		} else if line := o.Kind.String() + ": " + o.Refused; !slices.Contains(others, line) {
			others = append(others, line)
		}
	}
	if len(fit) > 0 {
		return fit, nil
	}
	return nil, errs.Errorf(errs.NotFound, "%s", notFor(here, others))
}

const showOthers = 10

// notFor returns the error that lists what there is for other kinds of machines.
func notFor(here platform.Host, others []string) string {
	shown := others[:min(showOthers, len(others))]
	text := fmt.Sprintf("nothing for this machine (%s); there is\n  %s", here, strings.Join(shown, "\n  "))
	if more := len(others) - len(shown); more > 0 {
		text += fmt.Sprintf("\n  … and %d more", more)
	}
	return text
}
