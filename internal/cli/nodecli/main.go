package nodecli

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"overland/internal/agent/host"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/printer"
)

// Program is the name that messages begin with.
const Program = host.Program

// env is where a command runs: its streams and whether a person is there to answer.
type env struct {
	in       *bufio.Reader
	out      io.Writer
	err      io.Writer
	terminal bool // standard input and error are a terminal
	screen   bool // standard output is one
}

// verb is one command.
type verb struct {
	name    string
	usage   string // after the name
	short   string
	long    string
	example []string // arguments after the program's name
	run     func(ctx context.Context, e env, c *call, args []string) (int, error)
	flags   func(c *call, f *flag.FlagSet)
	args    [2]int // fewest and most positional arguments
}

// orderly is how long what was interrupted may take to end.
const orderly = time.Minute

// Main runs the command line args (without the program's name) and returns the exit code.
func Main(args []string) int {
	// The kernel gives signals to the first thread, and one that waits for a file takes none.
	runtime.LockOSThread()
	host.Disinherit()
	// SIGHUP: a terminal that goes away must not take an installation, or the agent, with it.
	signal.Ignore(syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, func() {
		stop() // a second one ends it at once, and so does the time: a folder whose server is gone may never answer
		time.AfterFunc(orderly, func() { os.Exit(errs.Cancelled.Exit()) })
	})
	e := env{
		in:       bufio.NewReader(os.Stdin),
		out:      os.Stdout,
		err:      os.Stderr,
		terminal: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())),
		screen:   term.IsTerminal(int(os.Stdout.Fd())),
	}
	code := make(chan int, 1)
	go func() { code <- run(ctx, e, args) }()
	return <-code
}

func run(ctx context.Context, e env, args []string) int {
	out := printer.NewResult(e.out)
	e.out = out
	code, err := dispatch(ctx, e, args)
	if lost := out.Err(); lost != nil && (err == nil && code == 0 || errors.Is(err, lost)) {
		err = errs.Hint(lost, "what it did is done, only its output is lost: send that to a place with room")
	}
	if err == nil {
		return code
	}
	if kind := errs.KindOf(err); ctx.Err() != nil && (kind == errs.Internal || kind == errs.Unavailable) {
		err = errs.E(errs.Cancelled, err)
	}
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 && errs.HintOf(err) == "" {
		err = errs.Hint(err, "a node is its owner's: sudo %s …, or a directory of yours: --state DIR", Program)
	}
	complain(e, err)
	return errs.KindOf(err).Exit()
}

// complain prints err as a person is to see it: what, and what to do.
func complain(e env, err error) {
	msg := Program + ": " + printer.Error(err)
	if hint := errs.HintOf(err); hint != "" {
		msg += " · hint: " + hint
	}
	fmt.Fprintln(e.err, printer.Block(httpx.RedactedText(msg)))
}

func dispatch(ctx context.Context, e env, args []string) (int, error) {
	if len(args) == 0 {
		help(e.err, "")
		return errs.Invalid.Exit(), nil
	}
	name, rest := args[0], args[1:]
	switch name {
	case "-h", "--help":
		name = "help"
	case "--version":
		name = "version"
	}
	i := slices.IndexFunc(verbs(), func(v verb) bool { return v.name == name })
	if i < 0 {
		return 0, noVerb(name)
	}
	v := verbs()[i]
	c, positional, err := parse(v, rest)
	if errors.Is(err, flag.ErrHelp) {
		help(e.out, name)
		return 0, nil
	}
	if err == nil && (len(positional) < v.args[0] || len(positional) > v.args[1]) {
		err = fmt.Errorf("usage: %s %s %s", Program, v.name, v.usage)
	}
	if err != nil {
		return 0, errs.Hint(errs.E(errs.Invalid, fmt.Errorf("%s: %w", name, err)), "%s help %s", Program, name)
	}
	return v.run(ctx, e, c, positional)
}

// parse reads flags wherever they stand, so that `logs wallet.node -n 5` works as people write it.
func parse(v verb, args []string) (*call, []string, error) {
	c := &call{}
	f := flag.NewFlagSet(v.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&c.dir, "state", defaultDir(), "")
	f.StringVar(&c.dir, "dir", c.dir, "")    // the same
	f.StringVar(&c.volume, "volume", "", "") // every verb: the stub of a volume passes it
	if v.flags != nil {
		v.flags(c, f)
	}
	var positional []string
	for {
		if err := f.Parse(args); err != nil {
			return nil, nil, err
		}
		args = f.Args()
		if len(args) == 0 {
			break
		}
		positional = append(positional, args[0])
		args = args[1:]
	}
	return c, positional, c.check()
}

// stringList is a flag that may be given more than once.
type stringList []string

func (l *stringList) String() string { return strings.Join(*l, ",") }

func (l *stringList) Set(s string) error {
	*l = append(*l, s)
	return nil
}
