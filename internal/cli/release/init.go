package release

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/appfile"
	"overland/internal/builder/golang"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/operator"
)

type initOptions struct {
	dir  string
	name string
}

func initVerb(t *term.Term, run verb.Run[initOptions]) *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write overland.yaml for a repository",
		Long: "Looks for Go commands in DIR (default: the current folder) and writes an overland.yaml that builds each of\n" +
			"them for all platforms and runs the likeliest one as a service. Read it and change it to your needs.",
		Example: "overland init\noverland init --name wallet .",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.dir = verb.First(args, ".")
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.name, "name", "", "the application's name (default: the folder's)")
	return c
}

func runInit(_ context.Context, t *term.Term, o initOptions) error {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	if o.name == "" {
		o.name = appName(filepath.Base(dir))
	}
	if why := appfile.Reserved(o.name); why != "" {
		return errs.Hint(errs.Errorf(errs.Invalid, "the name %s is reserved: %s", o.name, why), "--name NAME gives it another one")
	}
	path := filepath.Join(dir, appfile.FileName)
	if _, err := os.Lstat(path); err == nil {
		if err := t.Confirm("%s is there already. Overwrite it?", path); err != nil {
			return errs.Hint(errs.E(errs.Conflict, err), "change it with an editor, or overwrite it with --yes")
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	app, err := golang.Propose(fsx.DirFS(dir), o.name)
	if err != nil {
		return err
	}
	const mode = 0o644
	if err := (fsx.FS{}).WriteFile(path, operator.AppFile().Marshal(app), mode); err != nil {
		return err
	}
	t.Printf("%s\n", path)
	t.Note("next: read it, commit it, then overland seal -o %s.volume", app.Name)
	return nil
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// appName returns a valid application name made from a folder's name.
func appName(folder string) string {
	const longest = 63
	s := strings.Trim(notInName.ReplaceAllString(strings.ToLower(folder), "-"), "-0123456789")
	if s == "" {
		return "app"
	}
	return s[:min(longest, len(s))]
}
