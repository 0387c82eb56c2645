// Package cache is the verbs for a site's cache: cache env, freeze, thaw, freezes and offline.
//
// Failure guarded: a freeze of a moment that nobody meant, because a day or
// a zone was read in another way.
package cache

import (
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
)

// Verbs returns the verb cache, ready to run.
func Verbs(t *term.Term) []*cobra.Command {
	return []*cobra.Command{verb.Group("cache", "Point machines at a site's cache, freeze it, take it offline",
		"A site that runs with --cache-listen keeps what the package tools of other machines fetch through it.",
		env(t, runEnv), freeze(t, runFreeze), thaw(t, runThaw), freezes(t, runFreezes), offline(t, runOffline))}
}
