package volume

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/record"
	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/confine"
	"overland/internal/confine/cell"
	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/home"
	"overland/internal/lockfile"
	"overland/internal/operator"
	"overland/internal/session"
	"overland/internal/trust"
	"overland/internal/trust/repository"
)

type openOptions struct {
	file    string
	root    string
	app     string
	command []string

	isolation cell.Isolation
	json      bool
}

func open(t *term.Term, run verb.Run[openOptions]) *cobra.Command {
	var o openOptions
	c := &cobra.Command{
		Use:   "open FILE [-- COMMAND…]",
		Short: "Build again from a volume, without a network",
		Long: "Checks every byte of FILE and its signatures, unpacks the source of the release in it into a temporary folder, and\n" +
			"runs COMMAND there as overland replay does: it sees that folder, empty caches, an empty site directory, the machine's\n" +
			"programs and what FILE holds. Without COMMAND it does what overland rebuild FILE does. FILE\n" +
			"must have been sealed --with-inputs. Its signatures must begin at the root --root, or else at this machine's own.\n" +
			"The exit code is COMMAND's; 5 when it asked for what was never recorded.",
		Example: "overland open live.volume\noverland open live.volume --root FINGERPRINT -- git log --oneline",
		Args: func(c *cobra.Command, args []string) error {
			if n := c.ArgsLenAtDash(); n == 1 || (n < 0 && len(args) == 1) {
				return nil
			}
			return errors.New("one file, then -- and a command")
		},
		RunE: func(c *cobra.Command, args []string) error {
			o.file, o.command = args[0], args[1:]
			if o.json && len(o.command) > 0 {
				return verb.Usage("--json is for the comparison: leave it out, or COMMAND")
			}
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.root, "root", "", "fingerprint of the root of trust, as overland trust show prints it")
	c.Flags().StringVar(&o.app, "app", "", "the application, when FILE holds the inputs of several")
	verb.IsolationFlag(c, &o.isolation)
	verb.JSONFlag(c, &o.json)
	return c
}

func runOpen(ctx context.Context, t *term.Term, o openOptions) (err error) {
	opened, err := openFile(ctx, t, o.file, o.root, o.app)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	w, err := unpack(ctx, t, opened, o.isolation, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Leave()) }()
	if len(o.command) > 0 {
		w.session.Command = o.command
		return replay(ctx, t, w.session, opened)
	}
	return w.rebuild(ctx, t, opened, o.json)
}

// openFile opens the volume file, whose signatures must begin at root, or at this machine's own.
func openFile(ctx context.Context, t *term.Term, file, root, app string) (*operator.Opened, error) {
	from, err := trustedRoot(ctx, t, root)
	if err != nil {
		return nil, err
	}
	bar := t.Bar()
	opened, err := operator.OpenVolume(ctx, operator.OpenOptions{Path: file, Root: from, App: app, Progress: bar.Show})
	bar.Close()
	if err == nil {
		t.Note("%s: signed under the root %s", opened.Ref(), from)
	}
	return opened, err
}

// world is what a release's source sees when it is opened: its folder, empty caches and an empty site directory.
type world struct {
	*home.Scratch
	session session.Options
}

// unpack makes the world of opened; with elsewhere, one that differs from others' in all that must not matter. The caller
// leaves it.
func unpack(ctx context.Context, t *term.Term, opened *operator.Opened, isolation cell.Isolation, elsewhere bool) (_ *world, err error) {
	if isolation, err = cell.Parse(string(isolation)); err != nil {
		return nil, err
	}
	name, below := "overland-open-"+opened.App+"-"+opened.Version, "source"
	environment := known(environ.Child())
	if elsewhere {
		name, below = "overland-rebuild-"+opened.App+"-"+opened.Version, filepath.Join("another", "folder", "of it")
		environment = foreign(environment)
	}
	scratch, err := home.TakeScratch(name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, scratch.Leave())
		}
	}()
	source := filepath.Join(scratch.Dir(), below)
	const mode = 0o700
	if err := os.MkdirAll(filepath.Dir(source), mode); err != nil {
		return nil, err
	}
	if err := opened.Unpack(ctx, source); err != nil {
		return nil, err
	}
	w := &world{scratch, session.Options{
		Blobs: opened, Lock: opened.Lock, LockFile: filepath.Join(source, lockfile.Name), Dir: filepath.Join(scratch.Dir(), "sessions"),
		WorkDir: source, Environ: scratch.Environ(environment), Stdin: t.Stdin, Stdout: t.Stdout, Stderr: t.Stderr,
		Isolation: isolation, Limits: cell.Limits(confine.Limits{Time: cell.MostTime}, scratch.Dir()), Own: []string{source},
	}}
	for _, name := range []string{"home", "cache", "tmp"} {
		dir := filepath.Join(scratch.Dir(), name)
		if err := os.MkdirAll(dir, mode); err != nil {
			return nil, err
		}
		w.session.Own = append(w.session.Own, dir)
	}
	return w, nil
}

// known returns what of the caller's environment another's source may know.
func known(list []string) []string {
	return slices.DeleteFunc(list, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return !strings.HasPrefix(name, "LC_") && !slices.Contains([]string{"PATH", "TERM", "LANG", "TZ", "HOME"}, name)
	})
}

// trustedRoot returns where the signatures of a volume must begin: the fingerprint given, or that
// of this machine's own signed metadata.
func trustedRoot(ctx context.Context, t *term.Term, given string) (trust.Fingerprint, error) {
	if given != "" {
		return verb.ParseRoot(given)
	}
	fp, err := sitedir.Signed(ctx, t, func(repo *repository.Repository) (trust.Fingerprint, error) { return repo.Fingerprint(), nil })
	if errs.KindOf(err) == errs.NotFound {
		err = errs.Hint(errs.Errorf(errs.Untrusted, "this machine has no root of trust to check against"),
			"--root FINGERPRINT, as overland trust show prints it where the file was sealed")
	}
	return fp, err
}

func replay(ctx context.Context, t *term.Term, s session.Options, opened *operator.Opened) error {
	_, _, err := record.Replay(ctx, t, s, session.Holder{
		Name:    opened.Holder(),
		Missing: "where there is a network: overland record -- COMMAND, commit overland.lock, release and seal again",
		Damaged: "copy it to another disk, and try again",
	})
	return err
}
