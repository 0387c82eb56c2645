package record

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/lockfile"
	"overland/internal/session"
)

func replayVerb(t *term.Term, run verb.Run[sessionOptions]) *cobra.Command {
	var o sessionOptions
	c := o.runs(t, &cobra.Command{
		Use:   "replay [flags] -- COMMAND…",
		Short: "Run a command again without a network, from what was recorded",
		Long: "Runs COMMAND with empty caches in a network namespace of its own, where only the recorder answers, from the lock\n" +
			"file and the depot. A request that was never recorded fails at once and is named; then the exit code is 5,\n" +
			"otherwise the command's. With --json the output of COMMAND goes to stderr, and the result follows on stdout, also\n" +
			"when COMMAND fails.",
		Example: "overland replay -- go build ./...\noverland replay --json -- go build ./...",
	}, run)
	verb.JSONFlag(c, &o.json)
	return c
}

func runReplay(ctx context.Context, t *term.Term, o sessionOptions) error {
	_, err := replayed(ctx, t, o)
	return err
}

// replayed replays the command from the depot, and prints the result with --json.
func replayed(ctx context.Context, t *term.Term, o sessionOptions) (*session.Result, error) {
	s, err := o.session(t, false)
	if err != nil {
		return nil, err
	}
	if s.Lock, err = lockfile.Load(o.lock); err != nil {
		return nil, err
	}
	again := fmt.Sprintf("with a network: overland record -- %s …", o.command[0])
	res, ended, err := Replay(ctx, t, *s, session.Holder{Name: "this depot", Missing: again, Damaged: again})
	if o.json && res != nil {
		err = errors.Join(err, t.JSON(newReplayed(s, res, ended)))
	}
	return res, err
}

// Replay replays s from h, and warns of each request that had no answer. It returns how the command
// ended beside the error of the whole.
func Replay(ctx context.Context, t *term.Term, s session.Options, h session.Holder) (res *session.Result, ended, err error) {
	res, ended = session.Replay(ctx, s)
	warn(t, res)
	return res, ended, res.ReplayErr(ended, h)
}

// warn names on stderr what a session could not answer.
func warn(t *term.Term, res *session.Result) {
	if res == nil {
		return
	}
	for _, p := range res.Problems {
		t.Warn(p.Error())
	}
}

// inside is what replay starts in the network namespace.
func inside() *cobra.Command {
	return &cobra.Command{
		Use: session.Verb, Hidden: true, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error { return session.Inside(c.Context(), args) },
	}
}
