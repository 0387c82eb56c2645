package verb

import (
	"fmt"

	"github.com/spf13/cobra"

	"overland/internal/operator"
	"overland/internal/release"
)

// TakeNameFlag adds --take-name to c.
func TakeNameFlag(c *cobra.Command, take *bool, doc string) {
	c.Flags().BoolVar(take, "take-name", false, doc)
}

// NameWarnings returns what a person must hear about the name that r was released under: that it is
// new, or that another repository has lost it.
func NameWarnings(r *operator.Released) []string {
	switch old := r.Taken; {
	case r.New:
		return []string{fmt.Sprintf("new application %s: from now on the name is that of the repository that begins with commit %.12s",
			r.Ref.App, r.Repository)}
	case old != nil:
		return []string{fmt.Sprintf("the name %s is taken from the repository that begins with commit %.12s (%d of its releases, "+
			"the newest %s) by the one that begins with %.12s: "+
			"a channel that is promoted to it runs it in place of the other, with the other's data",
			r.Ref.App, old.Repository, old.Releases, old.Newest, r.Repository)}
	}
	return nil
}

// Promoted returns what a person must hear about n.
func Promoted(n *release.Promotion) []string {
	if !n.Taken {
		return nil
	}
	return []string{fmt.Sprintf("%s is of another repository than %s, which channel %s ran: nodes run it in its place, with its data",
		n.Ref(), n.Before.Ref(), n.Channel)}
}
