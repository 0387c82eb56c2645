package release

import (
	"cmp"
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
	"overland/internal/builder/command"
	"overland/internal/builder/golang"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/operator"
	"overland/internal/platform"
	"overland/internal/source"
)

type initOptions struct {
	dir      string
	name     string
	commands []string
	run      string // with output: a command in place of Go commands
	output   string
}

func initVerb(t *term.Term, run verb.Run[initOptions]) *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write overland.yaml for a repository",
		Long: "Looks for Go commands in DIR (default: the current folder) and writes an overland.yaml at the top of its\n" +
			"repository that builds them for all platforms. Of more than four only the likeliest one is taken; the others\n" +
			"are named, and --command takes them. What seems to serve something becomes a service, with a self-test where a\n" +
			"port is seen; the others are commands that people call. Read it and change it to your needs.\n" +
			"What npm, make or a script builds is described by --run, which is not run now, and --output, the file that it makes.",
		Example: "overland init\noverland init --name wallet .\noverland init --command all\noverland init --run make --output out/shop",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.dir = verb.First(args, ".")
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.name, "name", "", "the application's name (default: its module's, or with --run its folder's)")
	c.Flags().StringSliceVar(&o.commands, "command", nil, "only this Go command, by its name; may be repeated; \"all\" takes every one")
	c.Flags().StringVar(&o.run, "run", "", "a command that builds it, in place of Go commands: 'make', 'sh build.sh'")
	c.Flags().StringVar(&o.output, "output", "", "the file that --run makes, from the top of the repository: out/app")
	return c
}

func runInit(ctx context.Context, t *term.Term, o initOptions) error {
	switch {
	case (o.run == "") != (o.output == ""):
		return errs.Hint(verb.Usage("--run and --output belong together"), "overland init --run 'sh build.sh' --output out/app")
	case o.run != "" && len(o.commands) > 0:
		return verb.Usage("--command names Go commands, and --run takes their place")
	}
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
	p, err := o.propose(top, below)
	if err != nil {
		return err
	}
	const mode = 0o644
	if err := (fsx.FS{}).WriteFile(path, operator.AppFile().Marshal(p.App), mode); err != nil {
		return err
	}
	t.Printf("%s\n", path)
	for _, line := range proposed(p, o.run != "") {
		t.Note("%s", line)
	}
	if o.run != "" {
		t.Note("next: read it, add a service if it is to stay up, commit it; then overland record -- overland build, and commit overland.lock")
		return nil
	}
	t.Note("next: read it, commit it, then overland seal -o %s.volume", p.App.Name)
	return nil
}

func (o initOptions) propose(top, below string) (*golang.Proposal, error) {
	if o.run == "" {
		return golang.Propose(fsx.DirFS(top), golang.Wishes{Name: o.name, Below: below, Commands: o.commands})
	}
	here, err := platform.Here()
	if err != nil {
		here = platform.All()[0] // a Mac describes what others build
	}
	base := filepath.Base(o.output)
	name := cmp.Or(golang.PlainName(strings.TrimSuffix(base, filepath.Ext(base))), "app")
	app := &appfile.App{
		Overland:  appfile.Version,
		Name:      cmp.Or(golang.PlainName(o.name), golang.PlainName(filepath.Base(top)), name),
		Artifacts: map[string]appfile.Artifact{name: {Builder: command.Key, Settings: &command.Command{Run: strings.Fields(o.run), Output: o.output}, Platforms: []platform.Platform{here}}},
		Commands:  map[string]string{name: name},
	}
	// What is written is read as build reads it: an output outside of the repository is refused now.
	_, err = operator.AppFile().Parse(operator.AppFile().Marshal(app), appfile.FileName)
	return &golang.Proposal{App: app}, err
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

// proposed says what a person should look at in p. What a command makes is not known: nothing is said of it.
func proposed(p *golang.Proposal, byCommand bool) []string {
	programs := slices.Sorted(maps.Keys(p.App.Artifacts))
	list := []string{"programs: " + strings.Join(programs, ", ")}
	for name := range p.App.Services {
		s := fmt.Sprintf("service: %s, which has to stay up", name)
		if p.Port > 0 {
			s = fmt.Sprintf("service: %s, which has to answer on port %d: a guess from its sources", name, p.Port)
		}
		list = append(list, s)
	}
	if n := slices.Sorted(maps.Keys(p.App.Commands)); len(n) > 0 && len(p.App.Services) > 0 {
		list = append(list, fmt.Sprintf("commands: %s, which people call; make a service of each that serves something", strings.Join(n, ", ")))
	}
	if len(p.App.Services) == 0 && !byCommand {
		list = append(list, "no service: nothing here seems to wait for requests; its programs are installed for people to run")
	}
	if len(p.Others) > 0 {
		list = append(list, fmt.Sprintf("left out: %s; --command NAME takes one, --command all every one", strings.Join(p.Others, ", ")))
	}
	return list
}
