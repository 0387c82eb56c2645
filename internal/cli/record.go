package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"overland/internal/ecosystem/plain"
	"overland/internal/errs"
	"overland/internal/home"
	"overland/internal/lockfile"
	"overland/internal/session"
)

// sessionOptions are the flags of the verbs that run a command.
type sessionOptions struct {
	lock          string
	pins          string
	machineCaches bool
	proofs        bool
	json          bool
}

// files adds the flags that name files.
func (o *sessionOptions) files(c *cobra.Command) {
	c.Flags().StringVar(&o.lock, "lock", "overland.lock", "the lock file")
	c.Flags().StringVar(&o.pins, "pins", "", "what must come from which URL: lines \"SHA256  URL\" (default overland.pins beside the lock, when there is one)")
}

func (o *sessionOptions) flags(c *cobra.Command) *cobra.Command {
	o.files(c)
	c.Flags().BoolVar(&o.machineCaches, "machine-caches", false, "leave tools their own caches: what these hold is neither recorded nor proved")
	c.Flags().SetInterspersed(false)
	return c
}

func (a *app) record() *cobra.Command {
	var o sessionOptions
	c := o.flags(&cobra.Command{
		Use:   "record [flags] -- COMMAND…",
		Short: "Run a command and lock everything that it fetches",
		Long: "Runs COMMAND with empty caches and the recorder as its way to the network, and adds what it fetched to the lock\n" +
			"file: each request with the digest of the answer and the ecosystem's own proof. The bytes go to the depot.\n" +
			"What is locked already is served as it is and never replaced. Go modules, npm, Python, Debian and Alpine\n" +
			"packages and Rust crates come from where the tools' own configuration says; everything\n" +
			"else goes through an HTTP proxy with an authority made for this run. With --json what COMMAND prints goes to\n" +
			"stderr, and the result follows on stdout, also when COMMAND fails.",
		Example: "overland record -- go mod download\noverland record --lock tools.lock -- go build ./...\noverland record --json -- go mod download",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.runRecord(c.Context(), o, args) },
	})
	jsonFlag(c, &o.json)
	return c
}

func (a *app) runRecord(ctx context.Context, o sessionOptions, command []string) error {
	s, err := a.session(o, true, command)
	if err != nil {
		return err
	}
	if s.Lock, err = lockfile.Load(o.lock); errors.Is(err, fs.ErrNotExist) {
		s.Lock, err = &lockfile.Lock{}, nil
	}
	if err != nil {
		return err
	}
	if err := lockfile.Writable(o.lock); err != nil {
		return err
	}
	s.Resume = true
	res, ended := session.Record(ctx, *s)
	a.problems(res)
	err = res.RecordErr(ended)
	if err == nil {
		err = res.Lock.Save(o.lock)
	}
	if o.json && res != nil {
		err = errors.Join(err, a.printJSON(newRecorded(s, res, ended, err == nil)))
	}
	if err != nil {
		return err
	}
	a.note("%s: %s", o.lock, summary(res.Lock, lockfile.Diff(s.Lock, res.Lock)))
	if len(res.Lock.Entries) == 0 {
		a.warn("nothing was fetched through the recorder; what this machine itself serves (127.0.0.1, localhost) is not recorded")
	}
	return nil
}

// problems warns of what a session could not answer.
func (a *app) problems(res *session.Result) {
	if res == nil {
		return
	}
	for _, p := range res.Problems {
		a.warn(p.Error())
	}
}

func (a *app) replay() *cobra.Command {
	var o sessionOptions
	c := o.flags(&cobra.Command{
		Use:   "replay [flags] -- COMMAND…",
		Short: "Run a command again without a network, from what was recorded",
		Long: "Runs COMMAND with empty caches in a network namespace of its own, where nothing but the recorder answers, and that\n" +
			"only from the lock file and the depot. A request that was never recorded fails at once and is named; then the\n" +
			"exit code is 5, otherwise the command's. With --json what COMMAND prints goes to stderr, and the result follows on\n" +
			"stdout, also when COMMAND fails.",
		Example: "overland replay -- go build ./...\noverland replay --json -- go build ./...",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			_, err := a.runReplay(c.Context(), o, args)
			return err
		},
	})
	jsonFlag(c, &o.json)
	return c
}

func (a *app) runReplay(ctx context.Context, o sessionOptions, command []string) (*session.Result, error) {
	s, err := a.session(o, false, command)
	if err != nil {
		return nil, err
	}
	if s.Lock, err = lockfile.Load(o.lock); err != nil {
		return nil, err
	}
	again := fmt.Sprintf("with a network: overland record -- %s …", command[0])
	res, ended := session.Replay(ctx, *s)
	a.problems(res)
	err = res.ReplayErr(ended, session.Holder{Name: "this depot", Missing: again, Damaged: again})
	if o.json && res != nil {
		err = errors.Join(err, a.printJSON(newReplayed(s, res, ended)))
	}
	return res, err
}

// inside is what replay starts in the network namespace.
func (a *app) inside() *cobra.Command {
	return &cobra.Command{
		Use: session.Verb, Hidden: true, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error { return session.Inside(c.Context(), args) },
	}
}

// session returns what all sessions have in common. One that records may be the first thing in a site directory.
func (a *app) session(o sessionOptions, records bool, command []string) (*session.Options, error) {
	depot, dir, err := a.depot(records)
	if err != nil {
		return nil, err
	}
	pins, err := readPins(o)
	if err != nil {
		return nil, err
	}
	out := a.Stdout
	if o.json {
		out = a.Stderr // stdout is for the result
	}
	path, err := filepath.Abs(o.lock)
	return &session.Options{
		Pins:  pins,
		Store: depot, LockFile: path, Dir: home.Sessions.In(dir), Command: command, Environ: os.Environ(),
		Stdin: a.Stdin, Stdout: out, Stderr: a.Stderr, MachineCaches: o.machineCaches, Proofs: o.proofs,
	}, err
}

// readPins reads the file of pins: the one that is named, or the one that lies beside the lock.
func readPins(o sessionOptions) (plain.Pins, error) {
	path := cmp.Or(o.pins, filepath.Join(filepath.Dir(o.lock), "overland.pins"))
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && o.pins == "":
		return nil, nil
	case err != nil:
		return nil, errs.Hint(errs.E(errs.NotFound, err), "a file of lines as sha256sum writes them: SHA256  URL")
	}
	defer f.Close()
	pins, err := plain.ParsePins(f)
	if err != nil {
		return nil, errs.Hint(errs.E(errs.Invalid, fmt.Errorf("%s: %w", path, err)), "lines as sha256sum writes them: SHA256  URL")
	}
	return pins, nil
}
