package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"overland/internal/cli/term"
	"overland/internal/clock"
	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/printer"
	"overland/internal/session"
)

// Env is what one run of the program may touch besides the disk and the network. Its writers are called
// by several goroutines at once, as a file may be.
type Env struct {
	Args   []string // without the program's name
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
	Clock  clock.Clock // nil: the machine's
}

// Main runs the program with the process's arguments and streams and returns the exit code. The
// first interrupt stops it in order; the second one at once, and so does the time for that: what reads
// a folder whose server is gone may never return.
func Main() int {
	const orderly = 30 * time.Second
	return mainWithin(orderly)
}

// mainWithin is Main, where what was interrupted may take so long to end.
func mainWithin(orderly time.Duration) int {
	// The kernel gives signals to the first thread, and one that waits for a file takes none.
	runtime.LockOSThread()
	getenv := environ.Hide()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() {
		stop()
		time.AfterFunc(orderly, func() {
			fmt.Fprintln(os.Stderr, explain(errs.Hint(errs.Errorf(errs.Cancelled, "stopped, though something did not end within %s", orderly),
				"is a folder on a server that is gone? What was done so far is kept")))
			os.Exit(errs.Cancelled.Exit())
		})
	})
	code := make(chan int, 1)
	go func() {
		code <- Run(ctx, Env{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: getenv})
	}()
	return <-code
}

// Run runs the program once and returns the exit code.
func Run(ctx context.Context, env Env) int {
	t := &term.Term{Stdin: env.Stdin, Stdout: env.Stdout, Stderr: env.Stderr, Getenv: env.Getenv, Clock: env.Clock, Version: readVersion().Version}
	root := tree(t)
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(printer.To(t.Result()))
	root.SetErr(printer.To(env.Stderr))
	verb, err := root.ExecuteContextC(ctx)
	err = t.Lost(err)
	if err == nil {
		return 0
	}
	if ctx.Err() != nil {
		// Whatever a room made of it, the person stopped it: a killed git or
		// compiler reports something else.
		err = errs.Hint(errs.Errorf(errs.Cancelled, "stopped"), "what was done so far is kept: run it again")
	}
	if exit := (*session.ExitError)(nil); errors.As(err, &exit) {
		// The command has said why.
		fmt.Fprintln(env.Stderr, explain(errs.Hint(err, "%s", cmp.Or(errs.HintOf(err), "its own messages are above"))))
		return exit.Code
	}
	if err = fsx.Full(err); errs.HintOf(err) == "" {
		err = hinted(err, verb.CommandPath())
	}
	fmt.Fprintln(env.Stderr, explain(err))
	return errs.KindOf(err).Exit()
}

// hinted gives err the hint of its kind: what a person can do when nobody below knew better.
func hinted(err error, verb string) error {
	switch errs.KindOf(err) {
	case errs.Invalid:
		return errs.Hint(err, "%s --help", verb)
	case errs.Untrusted:
		return errs.Hint(err, "it was damaged or changed since it was signed: get it again from whoever made it")
	case errs.Unavailable:
		return errs.Hint(err, "try again later: what was done so far is kept")
	default:
		return err
	}
}

// explain returns what a person sees of err, on one line as a rule.
func explain(err error) string {
	msg := strings.TrimSpace(printer.Error(err))
	if hint := errs.HintOf(err); hint != "" {
		msg += " · hint: " + hint
	}
	return "overland: " + printer.Block(httpx.WithoutLogins(httpx.RedactedText(msg)))
}
