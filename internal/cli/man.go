package cli

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// manOptions are the settings of man.
type manOptions struct {
	root *cobra.Command // whose pages are written
	dir  string
}

func man(t *term.Term, run verb.Run[manOptions]) *cobra.Command {
	var o manOptions
	c := &cobra.Command{
		Use:     "man",
		Short:   "Write the manual pages",
		Long:    "Writes a manual page for each verb into --dir, to be read with man or installed below share/man/man1.",
		Example: "overland man --dir man1",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.root = c.Root()
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.dir, "dir", "", "folder for the pages")
	return c
}

func runMan(_ context.Context, _ *term.Term, o manOptions) error {
	if o.dir == "" {
		return errs.Hint(verb.Usage("write the pages where?"), "--dir DIR")
	}
	return writeMan(o.root, o.dir)
}

func writeMan(root *cobra.Command, dir string) error {
	var disk fsx.FS
	const dirMode, fileMode = 0o755, 0o644
	if err := disk.Mkdir(dir, dirMode); err != nil {
		return err
	}
	for _, c := range allVerbs(root) {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		if err := disk.WriteFile(filepath.Join(dir, name), manPage(c), fileMode); err != nil {
			return err
		}
	}
	return nil
}

// allVerbs returns c and every verb below it that people see, in the tree's order.
func allVerbs(c *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" && sub.Name() != "completion" {
			list = append(list, allVerbs(sub)...)
		}
	}
	return list
}

// manPage returns the roff page of c.
func manPage(c *cobra.Command) []byte {
	var b bytes.Buffer
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"Overland\"\n.SH NAME\n%s \\- %s\n", roff(strings.ToUpper(name)), roff(name), roff(c.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(useLine(c)))
	if c.Long != "" {
		fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", roff(c.Long))
	}
	if c.HasAvailableLocalFlags() {
		b.WriteString(".SH OPTIONS\n")
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(flagName(f)), roff(f.Usage))
			}
		})
	}
	if c.Example != "" {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(c.Example))
	}
	fmt.Fprintf(&b, ".SH EXIT STATUS\n%s\n", roff(errs.ExitCodes))
	return b.Bytes()
}

// useLine returns the line of use of c, with the program's name.
func useLine(c *cobra.Command) string {
	if c.HasParent() {
		return c.Parent().CommandPath() + " " + c.Use
	}
	return c.Use + " VERB"
}

// flagName returns f as it is typed: "-o, --out string".
func flagName(f *pflag.Flag) string {
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	switch t := f.Value.Type(); t {
	case "bool":
		return name
	case "stringSlice":
		return name + " list"
	default:
		return name + " " + t
	}
}

var roffEscapes = strings.NewReplacer(`\`, `\e`, "-", `\-`)

// roff returns s so that no character or line of it is taken for a command.
func roff(s string) string {
	lines := strings.Split(roffEscapes.Replace(s), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
