package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"overland/internal/ecosystem/plain"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/lockfile"
	"overland/internal/record"
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
	if s.Lock, err = readLock(o.lock); errors.Is(err, fs.ErrNotExist) {
		s.Lock, err = &lockfile.Lock{}, nil
	}
	if err != nil {
		return err
	}
	if err := lockWritable(o.lock); err != nil {
		return err
	}
	s.Resume = true
	res, ended := session.Record(ctx, *s)
	err = a.judge(res, ended)
	if err == nil {
		err = writeLock(o.lock, res.Lock)
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

// judge returns the error of a recording: content that changed or fails its proof is one, whatever the command made of it.
func (a *app) judge(res *session.Result, err error) error {
	if res == nil {
		return err
	}
	exit := (*session.ExitError)(nil)
	for _, p := range res.Problems {
		if k := errs.KindOf(p); (err == nil || errors.As(err, &exit)) && (k == errs.Untrusted || k == errs.Conflict) {
			err = errs.Hint(errs.Errorf(k, "%s failed; the lock stays as it was", plural(len(res.Problems), "request", "requests")), "the warnings above name them")
		}
		a.warn(p.Error())
	}
	return err
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
	if s.Lock, err = readLock(o.lock); err != nil {
		return nil, err
	}
	again := fmt.Sprintf("with a network: overland record -- %s …", command[0])
	res, ended := session.Replay(ctx, *s)
	err = a.judgeReplay(res, ended, holder{"this depot", again, again})
	if o.json && res != nil {
		err = errors.Join(err, a.printJSON(newReplayed(s, res, ended)))
	}
	return res, err
}

// holder is where a replay finds what was recorded: its name, and what to do about what it lacks, or does not give as it
// was locked.
type holder struct{ name, missing, damaged string }

// judgeReplay returns the error of a replay: what could not be had is one, whatever the command made of it.
func (a *app) judgeReplay(res *session.Result, err error, h holder) error {
	if res == nil || len(res.Problems) == 0 {
		return err
	}
	for _, p := range res.Problems {
		a.warn(p.Error())
	}
	n := len(res.Problems)
	switch {
	case slices.ContainsFunc(res.Problems, isUntrusted):
		return errs.Hint(errs.Errorf(errs.Untrusted, "%s does not give what was locked", h.name), "%s", h.damaged)
	case slices.ContainsFunc(res.Problems, isHeldNowhere):
		return errs.Hint(errs.Errorf(errs.Unavailable, "%s no answer in %s", plural(n, "request has", "requests have"), h.name), "%s", h.missing)
	}
	return errs.Hint(errs.Errorf(errs.Unavailable, "%s never recorded", plural(n, "request was", "requests were")), "%s", h.missing)
}

// isHeldNowhere reports whether the answer was recorded, and is not to be had: its blob is missing or damaged.
func isHeldNowhere(problem error) bool {
	miss := (*record.MissError)(nil)
	return !errors.As(problem, &miss)
}

// isUntrusted reports whether what was recorded is there, and is not what the lock says.
func isUntrusted(problem error) bool { return errs.KindOf(problem) == errs.Untrusted }

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

func readLock(path string) (*lockfile.Lock, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.Hint(errs.E(errs.NotFound, err), "overland record -- COMMAND makes it")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l, err := lockfile.Parse(f, 0)
	if err != nil {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "%s: %w", path, err), "%s",
			cmp.Or(errs.HintOf(err), "mend the line, take the committed file back (git checkout), or record again into another file"))
	}
	return l, nil
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

// lockWritable refuses a place where no lock can be written, before minutes go into what it would hold.
func lockWritable(path string) error {
	f, err := createLock(path)
	if err == nil {
		f.Discard()
	}
	return err
}

func createLock(path string) (*fsx.Pending, error) {
	const mode = 0o644
	var disk fsx.FS
	f, err := disk.Create(path, mode)
	if err == nil {
		return f, nil
	}
	if cause := (*fs.PathError)(nil); errors.As(err, &cause) {
		err = cause.Err // its path is that of a temporary file
	}
	return nil, errs.Hint(fmt.Errorf("write %s: %w", path, err), "--lock FILE, in a folder that is there and that you may write to")
}

func writeLock(path string, l *lockfile.Lock) error {
	f, err := createLock(path)
	if err != nil {
		return err
	}
	defer f.Discard()
	if err := l.Write(f); err != nil {
		return err
	}
	return f.Commit()
}
