package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"overland/internal/cli/term"
	"overland/internal/errs"
)

//go:generate go run ./gen ../../docs/reference

// Reference returns docs/reference/cli.md, made from the tree of verbs.
func Reference() []byte {
	root := tree(&term.Term{})
	var b bytes.Buffer
	b.WriteString("<!-- Made by go generate ./internal/cli from the tree of verbs. Do not edit. -->\n# The command overland\n\n")
	fmt.Fprintf(&b, "%s\n\n", root.Long)
	b.WriteString("stdout is the result, stderr everything else. `--json` prints the result as JSON; its keys are only ever added to.\n\n")
	b.WriteString("Flags of every verb:\n\n```\n" + flags(root.PersistentFlags()) + "```\n")
	for _, g := range root.Groups() {
		fmt.Fprintf(&b, "\n%s\n", g.Title)
		for _, c := range root.Commands() {
			if c.GroupID == g.ID && c.IsAvailableCommand() {
				fmt.Fprintf(&b, "- `%s`: %s\n", c.CommandPath(), c.Short)
			}
		}
	}
	for _, c := range allVerbs(root)[1:] {
		if c.Example == "" && c.HasSubCommands() {
			fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n%s\n", c.CommandPath(), c.Short, c.Long)
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n", c.CommandPath(), c.Short)
		fmt.Fprintf(&b, "```\n%s\n```\n\n%s\n", useLine(c), c.Long)
		if own := flags(c.LocalNonPersistentFlags()); own != "" {
			fmt.Fprintf(&b, "\n```\n%s```\n", own)
		}
		fmt.Fprintf(&b, "\n```sh\n%s\n```\n", c.Example)
	}
	b.WriteString("\n## overland completion\n\nPrints the script that completes verbs, flags and channels in bash, zsh, fish or PowerShell:\n\n" +
		"```sh\nsource <(overland completion bash)\n```\n")
	return b.Bytes()
}

// ExitCodes returns docs/reference/exit-codes.md, made from the table of room errs.
func ExitCodes() []byte {
	var b bytes.Buffer
	b.WriteString("<!-- Made by go generate ./internal/cli from the table of room errs. Do not edit. -->\n# Exit codes\n\n")
	b.WriteString("`overland` and `overland-agent` end with these codes. The same kinds are the JSON codes and HTTP statuses of a site.\n\n")
	b.WriteString("| exit code | kind | HTTP | means |\n|---|---|---|---|\n| 0 | | 200 | done |\n")
	for _, k := range []struct {
		kind  errs.Kind
		means string
	}{
		{errs.Internal, "Overland's own fault, or the disk's; also a result that could not be printed"},
		{errs.NotFound, "it does not exist"},
		{errs.Denied, "not allowed"},
		{errs.Conflict, "somebody else was first, or it exists with different content"},
		{errs.Invalid, "the command line or a file given to it is wrong"},
		{errs.Partial, "some of it was done; the message says what is left"},
		{errs.Untrusted, "a signature, digest, version or expiry does not hold; nothing was changed"},
		{errs.Unavailable, "may work later, or from another source; what was fetched is kept"},
		{errs.Cancelled, "interrupted"},
	} {
		fmt.Fprintf(&b, "| %d | %s | %d | %s |\n", k.kind.Exit(), k.kind, k.kind.Status(), k.means)
	}
	b.WriteString("\nA message is one line as a rule: `overland: what happened · hint: what to do`.\n")
	return b.Bytes()
}

func flags(set *pflag.FlagSet) string {
	var lines strings.Builder
	set.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			const column = 24
			fmt.Fprintf(&lines, "%-*s %s\n", column, flagName(f), f.Usage)
		}
	})
	return lines.String()
}
