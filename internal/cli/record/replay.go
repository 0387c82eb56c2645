package record

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/confine"
	"overland/internal/confine/cell"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/lockfile"
	"overland/internal/session"
)

func replayVerb(t *term.Term, run verb.Run[sessionOptions]) *cobra.Command {
	var o sessionOptions
	c := o.runs(t, &cobra.Command{
		Use:   "replay [flags] -- COMMAND…",
		Short: "Run a command again without a network, from what was recorded",
		Long: "Runs COMMAND where only the recorder answers, from the lock file and the depot. A request that was never recorded\n" +
			"fails at once and is named; then the exit code is 5, otherwise the command's. COMMAND sees the current folder, which\n" +
			"it may change but for .git (see --write), and the machine's programs; empty caches and an empty home; no other files,\n" +
			"processes or sockets. It ends with all that it started. With --json the output of COMMAND goes to stderr, and the result follows on stdout,\n" +
			"also when COMMAND fails.",
		Example: "overland replay -- go build ./...\noverland replay --json -- go build ./...",
	}, run)
	o.cellFlags(c)
	verb.JSONFlag(c, &o.json)
	return c
}

func runReplay(ctx context.Context, t *term.Term, o sessionOptions) error {
	res, s, ended, err := replayed(ctx, t, o)
	if o.json && res != nil {
		err = errors.Join(err, t.JSON(newReplayed(s, res, ended)))
	}
	return err
}

// replayed replays the command from the depot. It returns how the command ended beside the error of the
// whole.
func replayed(ctx context.Context, t *term.Term, o sessionOptions) (_ *session.Result, _ *session.Options, ended, err error) {
	s, err := o.session(t, false)
	if err != nil {
		return nil, nil, nil, err
	}
	if s.Lock, err = lockfile.Load(o.lock); err != nil {
		return nil, nil, nil, err
	}
	if err := o.confine(s); err != nil {
		return nil, nil, nil, err
	}
	again := fmt.Sprintf("with a network: overland record -- %s …", o.command[0])
	res, ended, err := Replay(ctx, t, *s, session.Holder{Name: "this depot", Missing: again, Damaged: again})
	return res, s, ended, err
}

// confine sets what the command of s sees.
func (o sessionOptions) confine(s *session.Options) (err error) {
	if s.Isolation, err = cell.Parse(string(o.isolation)); err != nil {
		return err
	}
	if o.machineCaches && s.Isolation == cell.Full {
		return errs.Hint(errs.Errorf(errs.Invalid, "the machine's caches lie in your home, which a replay does not see"),
			"leave out --machine-caches, or add --isolation none")
	}
	if s.Write, err = existing(o.write); err != nil {
		return err
	}
	if s.Read, err = existing(o.read); err != nil {
		return err
	}
	s.Limits = cell.Limits(confine.Limits{Time: cell.MostTime}, s.Dir)
	return nil
}

// existing returns paths, each of which must exist, as absolute ones.
func existing(paths []string) (list []string, _ error) {
	for _, path := range paths {
		at, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(at); err != nil {
			return nil, errs.Hint(errs.E(errs.NotFound, err), "--write and --read name what is there")
		}
		list = append(list, at)
	}
	return list, nil
}

// Replay replays s from h, and warns of each request that had no answer. It returns how the command
// ended beside the error of the whole.
func Replay(ctx context.Context, t *term.Term, s session.Options, h session.Holder) (res *session.Result, ended, err error) {
	res, ended = session.Replay(ctx, s)
	for _, text := range warnings(res) {
		t.Warn(text)
	}
	return res, ended, res.ReplayErr(ended, h)
}

// warnings returns what a session could not answer, for people.
func warnings(res *session.Result) []string {
	list := []string{}
	if res != nil {
		for _, p := range res.Problems {
			list = append(list, httpx.RedactedText(p.Error()))
		}
	}
	return list
}

// inside is what replay starts in the network namespace.
func inside() *cobra.Command {
	return &cobra.Command{
		Use: session.Verb, Hidden: true, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error { return session.Inside(c.Context(), args) },
	}
}
