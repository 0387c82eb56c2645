package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/appfile"
	"overland/internal/builder/golang"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/operator"
	"overland/internal/progress"
	"overland/internal/source"
)

type initOptions struct {
	dir      string
	name     string
	commands []string
}

func initVerb(t *term.Term, run verb.Run[initOptions]) *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write overland.yaml for a repository",
		Long: "Looks for Go commands in DIR (default: the current folder) and writes an overland.yaml at the top of its\n" +
			"repository that builds them for all platforms. Of more than four only the likeliest one is taken; the others\n" +
			"are named, and --command takes them. What seems to serve something becomes a service, with a self-test where a\n" +
			"port is seen; a command-line tool is a program without one. Read it and change it to your needs.",
		Example: "overland init\noverland init --name wallet .\noverland init --command all",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.dir = verb.First(args, ".")
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.name, "name", "", "the application's name (default: its module's)")
	c.Flags().StringSliceVar(&o.commands, "command", nil, "only this Go command, by its name; may be repeated; \"all\" takes every one")
	return c
}

func runInit(ctx context.Context, t *term.Term, o initOptions) error {
	top, below, err := topOf(ctx, t, o.dir)
	if err != nil {
		return err
	}
	if why := appfile.Reserved(o.name); why != "" {
		return errs.Hint(errs.Errorf(errs.Invalid, "the name %s is reserved: %s", o.name, why), "--name NAME gives it another one")
	}
	path := filepath.Join(top, appfile.FileName)
	if _, err := os.Lstat(path); err == nil {
		if err := t.Confirm("%s is there already. Overwrite it?", path); err != nil {
			return errs.Hint(errs.E(errs.Conflict, err), "change it with an editor, or overwrite it with --yes")
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p, err := golang.Propose(fsx.DirFS(top), golang.Wishes{Name: o.name, Below: below, Commands: o.commands})
	if err != nil {
		return err
	}
	const mode = 0o644
	if err := (fsx.FS{}).WriteFile(path, operator.AppFile().Marshal(p.App), mode); err != nil {
		return err
	}
	t.Printf("%s\n", path)
	for _, line := range proposed(p) {
		t.Note("%s", line)
	}
	t.Note("next: read it, commit it, then overland seal -o %s.volume", p.App.Name)
	return nil
}

// topOf returns the top of the repository that dir is in, where build looks for overland.yaml, and
// where dir is below it. A folder that is not in a repository yet is its own top.
func topOf(ctx context.Context, t *term.Term, dir string) (top, below string, err error) {
	if dir, err = filepath.Abs(dir); err == nil {
		_, err = os.Stat(dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", errs.Hint(errs.Errorf(errs.NotFound, "there is no folder %s", dir), "name the folder of your repository")
	}
	if err != nil {
		return "", "", err
	}
	repo, err := source.Open(ctx, dir)
	if errs.KindOf(err) == errs.NotFound {
		t.Note("%s is not in a git repository yet; what is built is a commit: %s", dir, errs.HintOf(err))
		return dir, "", nil
	}
	if err != nil {
		return "", "", err
	}
	rel, err := filepath.Rel(repo.Dir(), dir)
	if rel == "." {
		rel = ""
	}
	return repo.Dir(), filepath.ToSlash(rel), err
}

// proposed says what a person should look at in p.
func proposed(p *golang.Proposal) []string {
	programs := slices.Sorted(maps.Keys(p.App.Artifacts))
	list := []string{"programs: " + strings.Join(programs, ", ")}
	for name := range p.App.Services {
		s := fmt.Sprintf("service: %s, which has to stay up", name)
		if p.Port > 0 {
			s = fmt.Sprintf("service: %s, which has to answer on port %d: a guess from its sources", name, p.Port)
		}
		list = append(list, s)
	}
	if len(p.App.Services) == 0 {
		list = append(list, "no service: nothing here seems to wait for requests; its programs are installed for people to run")
	}
	if len(p.Others) > 0 {
		list = append(list, fmt.Sprintf("left out: %s; --command NAME takes one, --command all every one", progress.Some(p.Others)))
	}
	return list
}
