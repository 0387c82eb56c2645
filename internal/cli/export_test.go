package cli

import (
	"github.com/spf13/cobra"

	"overland/internal/cli/term"
)

// Tree returns the command with all its verbs, and no terminal.
func Tree() *cobra.Command { return tree(&term.Term{}) }

// AllVerbs returns c and every verb below it that people see.
var AllVerbs = allVerbs

// MainWithin is Main, where what was interrupted may take so long to end.
var MainWithin = mainWithin
