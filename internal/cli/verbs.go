package cli

import "github.com/spf13/cobra"

// verbs returns the verbs, in the order of the way from a commit to a node; help sorts them.
func (a *app) verbs() []*cobra.Command {
	return []*cobra.Command{
		a.init(), a.build(), a.release(), a.promote(), a.rollback(), a.channel(), a.seal(), a.open(), a.inspect(),
		a.volume(), a.key(), a.trust(), a.site(), a.cache(), a.record(), a.replay(), a.lock(), a.netcache(), a.binary(), a.version(), a.man(),
		a.inside(),
	}
}
