package volume

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/operator"
	"overland/internal/operator/changes"
	"overland/internal/progress"
)

// diffOptions are the settings of diff.
type diffOptions struct {
	a, b      string // a release of the site, a volume, or another file
	root, app string // of volumes
	files     bool
	json      bool
}

func diff(t *term.Term, run verb.Run[diffOptions]) *cobra.Command {
	var o diffOptions
	c := &cobra.Command{
		Use:   "diff A B",
		Short: "Show what changes from one release or file to another",
		Long: "Compares A with B, each a release of the site, a volume, a Go program or the tar of a root file system: Go modules and\n" +
			"packages with their versions, sizes, files with mode, owner and capabilities, and what services and images ask for\n" +
			"(user, ports, capabilities, arguments). Images are compared as a container sees them, not layer by layer. The exit\n" +
			"code is 0 also when they differ; --json says \"same\".",
		Example: "overland diff wallet@r411.0123456789ab wallet@r412.abcdef012345\n" +
			"overland diff wallet@r411.0123456789ab live.volume --json",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: sitedir.Complete(t, 2, sitedir.Releases),
		RunE: func(c *cobra.Command, args []string) error {
			o.a, o.b = args[0], args[1]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.root, "root", "", "of volumes: fingerprint of the root of trust, as overland trust show prints it (default: each file's own)")
	c.Flags().StringVar(&o.app, "app", "", "of volumes: the application, when one holds several")
	c.Flags().BoolVar(&o.files, "files", true, "list the files of root file systems and images")
	verb.JSONFlag(c, &o.json)
	return c
}

func runDiff(ctx context.Context, t *term.Term, o diffOptions) error {
	root, err := verb.ParseRoot(o.root)
	if err != nil {
		return err
	}
	f := operator.FileOptions{Root: root, App: o.app}
	both := [2]string{o.a, o.b}
	out, err := sitedir.Maybe(t, func(p *operator.Operator) (*changes.Changes, error) { return p.Diff(ctx, both, f) })
	if err != nil {
		return err
	}
	if !o.files {
		for i := range out.Artifacts {
			out.Artifacts[i].Files = nil
		}
	}
	if o.json {
		return t.JSON(out)
	}
	t.Printf("%s → %s\n", out.From, out.To)
	if out.Same {
		t.Printf("the same\n")
	}
	printChanges(t, "", out.Facts)
	for _, s := range out.Services {
		t.Printf("service %s\n", s.Name)
		printChanges(t, "  ", s.Changes)
	}
	for _, a := range out.Artifacts {
		printArtifact(t, a)
	}
	return nil
}

func printArtifact(t *term.Term, a changes.Artifact) {
	name := a.Name
	if a.Platform != "" {
		name += " " + string(a.Platform)
	}
	switch {
	case a.Was == nil:
		t.Printf("%s: new, %s\n", name, progress.Bytes(a.Is.Size))
	case a.Is == nil:
		t.Printf("%s: gone, was %s\n", name, progress.Bytes(a.Was.Size))
	case a.Absent:
		t.Printf("%s: %s → %s, of which not all is here to be compared\n", name, term.Short(a.Was.Digest.Encoded()), term.Short(a.Is.Digest.Encoded()))
	default:
		t.Printf("%s: %s → %s (%+d bytes)\n", name, progress.Bytes(a.Was.Size), progress.Bytes(a.Is.Size), a.Is.Size-a.Was.Size)
	}
	printChanges(t, "  ", a.Config)
	printChanges(t, "  ", a.Packages)
	for _, f := range a.Files {
		printChanges(t, "  ", []changes.Change{{What: f.Path, Was: fileText(f.Was), Is: fileText(f.Is)}})
	}
}

// fileText returns f as a person reads it.
func fileText(f *changes.File) string {
	if f == nil {
		return ""
	}
	text := fmt.Sprintf("%s %s %d", f.Mode, f.Owner, f.Size)
	if f.Link != "" {
		text += " → " + f.Link
	}
	if f.Capabilities != "" {
		text += " capabilities " + f.Capabilities
	}
	if f.Digest != "" {
		text += " " + term.Short(f.Digest.Encoded())
	}
	return text
}

// printChanges prints what came with "+", what went with "-", and else both.
func printChanges(t *term.Term, indent string, list []changes.Change) {
	for _, c := range list {
		switch {
		case c.Was == "":
			t.Printf("%s+ %s: %s\n", indent, c.What, c.Is)
		case c.Is == "":
			t.Printf("%s- %s: %s\n", indent, c.What, c.Was)
		default:
			t.Printf("%s~ %s: %s → %s\n", indent, c.What, c.Was, c.Is)
		}
	}
}
