package cli

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"overland/internal/errs"
	"overland/internal/fsx"
)

func (a *app) man() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:     "man",
		Short:   "Write the manual pages",
		Long:    "Writes a manual page for each verb into --dir, to be read with man or installed below share/man/man1.",
		Example: "overland man --dir man1",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if dir == "" {
				return errs.Hint(usage("write the pages where?"), "--dir DIR")
			}
			return writeMan(c.Root(), dir)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "folder for the pages")
	return c
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
