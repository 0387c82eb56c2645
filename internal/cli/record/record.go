package record

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/confine/cell"
	"overland/internal/ecosystem/plain"
	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/httpx"
	"overland/internal/lockfile"
	"overland/internal/operator/holdings"
	"overland/internal/session"
)

// sessionOptions are the settings of the verbs that run a command.
type sessionOptions struct {
	command       []string
	lock          string // file
	pins          string // file; "" = overland.pins beside the lock, if it exists
	machineCaches bool
	proofs        bool   // count what proves an entry as asked for
	failed        bool   // lock update: only what failed
	isolated      string // of a recording; see reaches
	json          bool

	isolation   cell.Isolation // of a replay
	read, write []string       // what a replay sees beside the working folder
}

// fileFlags adds the flags that name files.
func (o *sessionOptions) fileFlags(c *cobra.Command) {
	c.Flags().StringVar(&o.lock, "lock", "", "the lock file (default overland.lock: the one here, else the one beside the repository's overland.yaml)")
	c.Flags().StringVar(&o.pins, "pins", "", "file of what each URL must give, in lines \"SHA256  URL\" (default overland.pins beside the lock, if it exists)")
}

// runs makes c a verb that runs a command, which is its arguments.
func (o *sessionOptions) runs(t *term.Term, c *cobra.Command, run verb.Run[sessionOptions]) *cobra.Command {
	o.fileFlags(c)
	c.Flags().BoolVar(&o.machineCaches, "machine-caches", false, "let tools use their own caches; what those hold is neither recorded nor proved")
	c.Flags().SetInterspersed(false)
	c.Args = cobra.MinimumNArgs(1)
	c.RunE = func(c *cobra.Command, args []string) error {
		o.command, o.lock = args, lockOf(o.lock)
		return run(c.Context(), t, *o)
	}
	return c
}

// cellFlags adds the flags of a replay.
func (o *sessionOptions) cellFlags(c *cobra.Command) {
	verb.IsolationFlag(c, &o.isolation)
	c.Flags().StringArrayVar(&o.write, "write", nil, "a further folder that COMMAND may change; may be repeated")
	c.Flags().StringArrayVar(&o.read, "read", nil, "a further file or folder that COMMAND sees; may be repeated")
}

func recordVerb(t *term.Term, run verb.Run[sessionOptions]) *cobra.Command {
	var o sessionOptions
	c := o.runs(t, &cobra.Command{
		Use:   "record [flags] -- COMMAND…",
		Short: "Run a command and lock everything that it fetches",
		Long: "Runs COMMAND with empty caches and the recorder as its way to the network, and adds what it fetched to the lock\n" +
			"file: each request with the digest of the answer and the ecosystem's own proof. The bytes go to the depot.\n" +
			"What is locked already is served as it is and never replaced. Go modules, npm, Python, Debian and Alpine\n" +
			"packages and Rust crates come from where the tools' own configuration says; everything else goes through an\n" +
			"HTTP proxy with an authority made for this run. On Linux that is the only network that COMMAND has: what tries to\n" +
			"go past the recorder fails at once and is named, by address and process. Services of this machine at 127.0.0.1\n" +
			"answer as always, and are named too, since a replay lacks them; --isolated shuts them out. --isolated=false lets\n" +
			"COMMAND reach whatever this machine can, and nobody is told what. With --json the output of COMMAND goes to stderr,\n" +
			"and the result follows on stdout, also when COMMAND fails.",
		Example: "overland record -- go mod download\noverland record --isolated -- go build ./...\noverland record --isolated=false -- go build ./...\noverland record --json --lock tools.lock -- go mod download",
	}, run)
	o.reachFlag(c)
	verb.JSONFlag(c, &o.json)
	return c
}

func runRecord(ctx context.Context, t *term.Term, o sessionOptions) error {
	s, err := o.session(t, true)
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
	res, ended := recorded(ctx, t, *s)
	err = res.RecordErr(ended)
	if err == nil {
		err = save(s, o.lock, s.Lock, res.Lock)
	}
	if o.json && res != nil {
		err = errors.Join(err, t.JSON(newRecorded(s, res, ended, err == nil)))
	}
	if err != nil {
		return err
	}
	t.Note("%s: %s", o.lock, summary(res.Lock, lockfile.Diff(s.Lock, res.Lock)))
	noteFailed(t, failedOf(res.Lock))
	noteLacking(t, res.Lacking)
	return nil
}

// noteLacking says what other commands than the recorded one would miss.
func noteLacking(t *term.Term, list []string) {
	const most = 5
	if len(list) == 0 {
		return
	}
	more := ""
	if len(list) > most {
		more = fmt.Sprintf(" and %d more", len(list)-most)
	}
	t.Note("not fetched, though go.mod requires it: %s%s", strings.Join(list[:min(len(list), most)], ", "), more)
	t.Note("for commands that need more than this one: overland record -- go mod download")
}

// recorded records s, and warns of what a person should know.
func recorded(ctx context.Context, t *term.Term, s session.Options) (*session.Result, error) {
	res, ended := session.Record(ctx, s)
	for _, text := range recordWarnings(res, ended) {
		t.Warn(text)
	}
	exit := (*session.ExitError)(nil)
	if errors.As(ended, &exit) && len(res.Past) > 0 {
		ended = errs.Hint(ended, "if it needs what it was refused, which a replay lacks too: overland record --isolated=false -- %s …", s.Command[0])
	}
	return res, ended
}

// recordWarnings returns what a person should know of a recording whose command ended with ended.
func recordWarnings(res *session.Result, ended error) []string {
	list := warnings(res)
	if res == nil {
		return list
	}
	if !session.Guarded {
		list = append(list, "on this system every process of the machine can use the recorder while it runs")
	}
	for _, err := range res.Unproved {
		list = append(list, "recorded as plain URLs: "+httpx.RedactedText(err.Error()))
	}
	for _, err := range res.Unrecorded {
		list = append(list, "not recorded: "+httpx.RedactedText(err.Error()))
	}
	if res.Open != nil && session.Guarded { // elsewhere nobody expects it
		list = append(list, "not isolated, so what goes past the recorder is not named: "+httpx.RedactedText(res.Open.Error()))
	}
	for _, a := range res.Past {
		list = append(list, "went past the recorder, and failed: "+a.String())
	}
	for _, a := range res.Local {
		list = append(list, "used a service of this machine, which a replay does not have: "+a.String())
	}
	if res.Strangers != "" {
		list = append(list, "connections to the recorder: "+res.Strangers)
	}
	if ended == nil && len(res.Lock.Entries)+len(res.Problems) == 0 {
		list = append(list, "nothing was fetched through the recorder; what this machine itself serves (127.0.0.1, localhost) is not recorded")
	}
	return list
}

// session returns the settings of a session. One that records may be the
// first thing in a site directory.
func (o sessionOptions) session(t *term.Term, records bool) (*session.Options, error) {
	depot, dir, err := sitedir.Depot(t, records)
	if err != nil {
		return nil, err
	}
	pins, err := o.readPins()
	if err != nil {
		return nil, err
	}
	out := t.Stdout
	if o.json {
		out = t.Stderr // stdout is for the result
	}
	reach, err := o.reach(t)
	if err != nil {
		return nil, err
	}
	hide := []string{dir}
	if keys, err := t.RootKeysDir(); err != nil {
		return nil, err
	} else if keys != "" {
		hide = append(hide, keys)
	}
	path, err := filepath.Abs(o.lock)
	if err == nil {
		err = holdings.Note(dir, path, fsx.FS{})
	}
	return &session.Options{
		Pins:  pins,
		Store: depot, LockFile: path, Dir: home.Sessions.In(dir), Command: o.command, Environ: environ.Child(),
		Stdin: t.Stdin, Stdout: out, Stderr: t.Stderr, MachineCaches: o.machineCaches, Proofs: o.proofs, Hide: hide,
		Reach: reach,
	}, err
}

// save writes the lock l, which was old, to file. From then on its blobs stay in the depot.
func save(s *session.Options, file string, old, l *lockfile.Lock) error {
	if err := l.Save(file); err != nil {
		return err
	}
	return session.Keep(s.Store, old, l)
}

// readPins reads the file of pins: the one that is named, or the one that lies beside the lock.
func (o sessionOptions) readPins() (plain.Pins, error) {
	path := cmp.Or(o.pins, filepath.Join(filepath.Dir(o.lock), "overland.pins"))
	open := fsx.Open // the one beside the lock is the repository's
	if o.pins != "" {
		open = fsx.OpenStream
	}
	f, err := open(path)
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
