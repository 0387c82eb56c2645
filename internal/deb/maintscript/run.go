package maintscript

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// Limits of one run of one script.
const (
	callsLimit     = 50_000      // commands
	textLimit      = 64 << 10    // bytes of a script, or of what one evaluates; the largest one known has 14 KiB
	outputLimit    = 16 << 20    // bytes printed and written, and of the words of all commands
	takenLimit     = 64 << 20    // bytes of files that are redirected into commands
	variablesLimit = 4 << 20     // bytes, looked at before each command and each variable that is set to others
	wordsLimit     = 64          // variables in one command: with all of them, what it takes before anybody looks
	nestedLimit    = 500         // lists in lists
	framesLimit    = 20_000      // of this process's stack, for functions that call themselves
	depthLimit     = 16          // scripts that scripts run
	timeLimit      = time.Minute // for what the other limits do not see
)

// Package is whose scripts are run.
type Package struct {
	Name, Version, Architecture string
	Templates                   []byte                             // its questions, for debconf; nil = none
	Files                       func(name string) []string         // of a package of the root; nil = it is not there
	Installed                   func(name string) (version string) // "" = it is not in the root
}

// System is one root while packages are installed in it: what their scripts share besides files.
type System struct {
	root         at
	alternatives map[string]*alternative
	diversions   []diversion
	answers      map[string]string // debconf's, by question
	triggers     []string          // that were asked for by name
	linked       bool              // a script has run ldconfig
	day          int64             // since 1970, for /etc/shadow
}

// New returns a System for root, whose day is that of made.
func New(root Root, made time.Time) *System {
	return &System{root: at{root}, alternatives: map[string]*alternative{}, answers: map[string]string{}, day: made.Unix() / daySeconds}
}

const daySeconds = 24 * 60 * 60

// Triggers returns the triggers that scripts have asked for by name since the last call.
func (s *System) Triggers() []string {
	list := slices.Compact(slices.Sorted(slices.Values(s.triggers)))
	s.triggers = nil
	return list
}

// UnknownError says what a script wants that is not done here.
type UnknownError struct{ What string }

func (e *UnknownError) Error() string { return e.What + notDone }

const notDone = ", which is not done here"

// Run runs text, the script called name ("postinst") of p, with args. A step that is not done here is an *UnknownError, a script
// that fails is errs.Invalid with the end of what it printed.
func (s *System) Run(ctx context.Context, p Package, name string, text []byte, args ...string) error {
	tree, err := parse(name, text)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeLimit, errs.Errorf(errs.Invalid, "it runs for more than %s", timeLimit))
	defer cancel()
	r := &run{System: s, of: p, sourced: map[string]string{}}
	var said tail
	switch err := r.shell(ctx, tree, args, r.env(name), nil, &said, &said); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case r.unknown != nil:
		return r.unknown
	case r.lost != nil:
		return r.lost
	case err == nil:
		return nil
	default:
		var code interp.ExitStatus
		if errors.As(err, &code) {
			err = fmt.Errorf("exit code %d", uint8(code))
		}
		return errs.Errorf(errs.Invalid, "%w: %s", err, said.last())
	}
}

type depthKey struct{}

// env is what dpkg says to the script called name.
func (r *run) env(name string) expand.Environ {
	return expand.ListEnviron(
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "UID=0", "EUID=0", "GID=0", "LC_ALL=C.UTF-8", "TMPDIR=/tmp",
		"DEBIAN_FRONTEND=noninteractive", "DPKG_ROOT=", "DPKG_ADMINDIR=/var/lib/dpkg", "DPKG_MAINTSCRIPT_PACKAGE="+r.of.Name, "DPKG_MAINTSCRIPT_NAME="+name,
		"DPKG_MAINTSCRIPT_ARCH="+r.of.Architecture, "DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1", "DPKG_RUNNING_VERSION=1.22.0",
	)
}

// shell runs tree. in = nil is an empty input.
func (r *run) shell(ctx context.Context, tree *script, args []string, env expand.Environ, in io.Reader, out, err io.Writer) error {
	if in == nil {
		null, err := os.Open("/dev/null")
		if err != nil {
			return err
		}
		defer null.Close()
		in = null
	}
	call := r.call
	if !tree.bash {
		call = func(ctx context.Context, args []string) ([]string, error) {
			args, err := r.call(ctx, args)
			if err == nil && args[0] == "echo" {
				args = echo(args[1:])
			}
			return args, err
		}
	}
	shell, lost := interp.New(
		interp.Env(nowhere{env}), interp.Dir("/"), interp.Params(append([]string{"--"}, args...)...), interp.StdIO(in, out, err),
		interp.CallHandler(call), interp.OpenHandler(r.open), interp.ReadDirHandler2(r.list), interp.StatHandler(r.stat), interp.AccessHandler(r.access),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return r.exec }),
	)
	if lost != nil {
		return lost
	}
	whole := *tree.File
	whole.Stmts = append(temporary(env), whole.Stmts...)
	return shell.Run(ctx, &whole)
}

// nowhere is an environment whose folder for temporary files cannot be. The interpreter opens names below that folder on this
// machine, and not through its handlers, when they look like those of its own pipes.
type nowhere struct{ expand.Environ }

const temporaryFolder = "TMPDIR"

// Get implements expand.Environ.
func (e nowhere) Get(name string) expand.Variable {
	v := e.Environ.Get(name)
	if name == temporaryFolder {
		v.Set, v.Kind, v.Str = true, expand.String, "/dev/null/none"
	}
	return v
}

// temporary returns the statements that give a script the folder for temporary files that env has, in the place of nowhere's.
func temporary(env expand.Environ) []*syntax.Stmt {
	word, err := syntax.Quote(env.Get(temporaryFolder).String(), syntax.LangPOSIX)
	if err != nil { // a NUL byte: no name of a file has one
		word = "''"
	}
	return statements(temporaryFolder + "=" + word)
}

// echo returns the command that prints args as dash does: with what follows a backslash.
func echo(args []string) []string {
	end := "\n"
	if len(args) > 0 && args[0] == "-n" {
		args, end = args[1:], ""
	}
	return []string{"printf", "%b" + end, strings.Join(args, " ")}
}

// run is one script while it runs. The interpreter calls from several goroutines when there are pipes.
type run struct {
	*System
	of Package

	mu      sync.Mutex
	calls   int
	written int64             // by commands, and to files
	said    int64             // words of commands
	taken   int64             // read by redirections
	sourced map[string]string // files as they shall run, by their names
	unknown error             // the first
	lost    error             // what a file could not hold, the first
}

// lose keeps err for the end of the script: the interpreter asks nobody how a file was closed.
func (r *run) lose(err error) error {
	if r.lost == nil {
		r.lost = err
	}
	return err
}

// fail ends the script: what it wants is not known.
func (r *run) fail(format string, a ...any) error {
	if r.unknown == nil {
		r.unknown = &UnknownError{fmt.Sprintf(format, a...)}
	}
	return r.unknown
}

func (r *run) call(ctx context.Context, args []string) ([]string, error) {
	hc := interp.HandlerCtx(ctx)
	if args[0] == "read" { // it may wait for who writes, who waits for r.mu
		set, ok := readLine(hc, args[1:])
		if !ok {
			r.mu.Lock()
			defer r.mu.Unlock()
			return nil, r.fail("it runs %s", strings.Join(args, " "))
		}
		args = set
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost != nil { // the interpreter goes on when a file is full
		return nil, r.lost
	}
	if err := r.small(hc, args); err != nil {
		return nil, r.lose(err) // in a trap, nobody else says it
	}
	for _, v := range hc.Env.Each {
		if name := ofMachine(v.Str); name != "" && v.IsSet() {
			return nil, r.fail("it uses $%s", name)
		}
	}
	return r.judged(hc, args)
}

// small returns an error when the memory that a script takes, or the stack, is not small.
func (r *run) small(hc interp.HandlerContext, args []string) error {
	held := 0
	for _, v := range hc.Env.Each {
		held += len(v.Str)
		for _, one := range v.List {
			held += len(one) + perWord
		}
		for name, one := range v.Map {
			held += len(name) + len(one) + perWord
		}
	}
	words := 0
	for _, a := range args {
		words += len(a) + perWord
	}
	if args[0] == "printf" && len(args) > 1 {
		words += printed(args[1], len(args))
	}
	r.calls++
	switch r.said += int64(words); {
	case held > variablesLimit, words > variablesLimit:
		return errs.Errorf(errs.Invalid, "its variables have more than %d bytes", variablesLimit)
	case r.calls > callsLimit:
		return errs.Errorf(errs.Invalid, "it runs more than %d commands", callsLimit)
	case r.said > outputLimit:
		return errs.Errorf(errs.Invalid, "it prints more than %d bytes", outputLimit)
	case runtime.Callers(framesLimit, make([]uintptr, 1)) > 0:
		return errs.Errorf(errs.Invalid, "its functions call one another without end")
	}
	return nil
}

const perWord = 16 // bytes that a word takes besides its letters

// printed returns how many bytes printf may print with this format, which it takes again while there are arguments.
func printed(format string, times int) int {
	n, number := len(format), 0
	for _, ch := range format + " " {
		if ch >= '0' && ch <= '9' {
			number = min(10*number+int(ch-'0'), variablesLimit)
			continue
		}
		n, number = n+number, 0
	}
	return n * times
}

// judged returns args, a command, as the interpreter shall have it. What it would do on this machine is refused.
func (r *run) judged(hc interp.HandlerContext, args []string) ([]string, error) {
	switch name, rest := args[0], args[1:]; {
	case name == "command" || name == "builtin":
		if len(rest) > 0 && rest[0] == "--" {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return args, nil
		}
		if name == "command" && (rest[0] == "-v" || rest[0] == "-V") {
			return append([]string{"which"}, rest[1:]...), nil
		}
		if strings.HasPrefix(rest[0], "-") {
			return nil, r.fail("it runs %s", strings.Join(args, " "))
		}
		// The interpreter does not ask about what it runs for these two.
		inner, err := r.judged(hc, rest)
		if err != nil || inner[0] == "which" {
			return inner, err
		}
		return append([]string{name}, inner...), nil
	case name == "eval":
		text, err := r.later(strings.Join(rest, " "))
		return []string{"eval", text}, err
	case name == "trap":
		args = slices.Clone(args)
		for i, text := range rest {
			var err error
			if args[i+1], err = r.later(text); err != nil {
				return nil, err
			}
		}
		return args, nil
	case (name == "." || name == "source") && len(rest) > 0 && !strings.Contains(rest[0], "/"):
		return nil, r.fail("it runs %s", strings.Join(args, " ")) // from a folder of the PATH
	case (name == "." || name == "source") && len(rest) > 0 && rest[0] != confmodule:
		text, err := r.root.read(hc.Dir, rest[0])
		if err != nil {
			return args, nil //nolint:nilerr // the interpreter opens it again, and says so
		}
		again, err := r.later(string(text))
		if again != string(text) {
			r.sourced[absolute(hc.Dir, rest[0])] = again
		}
		return args, err
	case name == "type" || name == "hash":
		return append([]string{"which"}, rest...), nil
	case name == "umask" && len(rest) == 1 && strings.Trim(rest[0], "01234567") == "":
		return []string{"eval", umask + "=" + rest[0]}, nil // of this subshell alone
	case name == "umask":
		return nil, r.fail("it runs %s", strings.Join(args, " "))
	case (name == "[" || name == "test") && slices.Contains(rest, ""):
		return named(args), nil
	case name == "cd" && len(rest) > 0 && strings.HasPrefix(rest[0], "-"), name == "pwd" && len(rest) > 0, // they would look at this machine
		slices.Contains([]string{"alias", "kill", "ulimit", "exec", "wait", "bg", "fg", "jobs", "times", "fc", "enable", "dirs", "pushd", "popd"}, name):
		return nil, r.fail("it runs %s", strings.Join(args, " "))
	}
	return args, nil
}

// umask is the variable that has the mask for new files.
const umask = "_umask"

// named returns a test in which a file without a name is one that is not there: the interpreter takes it for the
// working folder.
func named(args []string) []string {
	args = slices.Clone(args)
	for i := 1; i < len(args); i++ {
		if op := args[i-1]; args[i] == "" && len(op) == 2 && op[0] == '-' && strings.ContainsRune("abcdefghkLOGprsSuwx", rune(op[1])) {
			args[i] = "/dev/no name"
		}
	}
	return args
}

func (r *run) exec(ctx context.Context, args []string) error {
	hc := interp.HandlerCtx(ctx)
	name := args[0]
	if dir, base := path.Split(name); slices.Contains([]string{"/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"}, dir) {
		name = base
	}
	do, own, err := r.command(hc, name, args[0])
	if err != nil {
		return err
	}
	if own != nil {
		depth, _ := ctx.Value(depthKey{}).(int)
		if depth++; depth > depthLimit {
			return errs.Errorf(errs.Invalid, "%d scripts run one another", depth)
		}
		return r.shell(context.WithValue(ctx, depthKey{}, depth), own, args[1:], hc.Env, hc.Stdin, hc.Stdout, hc.Stderr)
	}
	c := &call{run: r, name: name, args: args[1:], dir: hc.Dir, mask: mask(hc), err: hc.Stderr, ended: ctx.Err}
	if do.reads { // before the root is held: who writes may wait for it
		if c.in, err = fsx.Read(hc.Stdin, "what is piped to "+name, outputLimit); err != nil {
			return err
		}
	}
	if err := c.done(do); err != nil {
		return err
	}
	_, _ = hc.Stdout.Write(c.out.b.Bytes()) // a pipe that nobody reads is no fault
	if c.status != 0 {
		return interp.ExitStatus(c.status)
	}
	return nil
}

// command returns what is done for the command name, which the script calls as, or the script that the root has for
// it. What the root would not have either is exit code 127.
func (r *run) command(hc interp.HandlerContext, name, as string) (command, *script, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.HasPrefix(name, "python3.") {
		name = "python3"
	}
	do, known := commands[name]
	there := r.program(hc.Dir, as)
	switch {
	case known && (do.everywhere || there != ""):
		return do, nil, nil
	case there != "":
		if text, err := r.root.Read(there); err == nil && bytes.HasPrefix(text, []byte("#!")) {
			own, err := parse(as, text)
			if err != nil {
				return command{}, nil, r.fail("it runs %s: %s", as, strings.TrimSuffix(err.Error(), notDone))
			}
			return command{}, own, nil
		}
		return command{}, nil, r.fail("it runs %s", as)
	case essential[name]:
		return command{}, nil, r.fail("it runs %s", as)
	}
	fmt.Fprintf(hc.Stderr, "%s: not found\n", as)
	const notFound = 127
	return command{}, nil, interp.ExitStatus(notFound)
}

// done runs the command c, and says how it ended in c.status. An error ends the script.
func (c *call) done(do command) error {
	r := c.run
	r.mu.Lock()
	defer r.mu.Unlock()
	err := do.do(c)
	if r.written += int64(c.out.b.Len()); r.written > outputLimit || c.out.over {
		return errs.Errorf(errs.Invalid, "it prints more than %d bytes", outputLimit)
	}
	var unknown *UnknownError
	var status interp.ExitStatus
	switch {
	case errors.As(err, &unknown):
		return r.fail("%s", unknown.What)
	case errors.As(err, &status):
		c.status = uint8(status)
	case errs.KindOf(err) == errs.Untrusted, errs.KindOf(err) == errs.Unavailable:
		return err // of the root, not of the command
	case err != nil:
		fmt.Fprintf(c.err, "%s: %v\n", c.name, err)
		c.status = 1
	}
	return nil
}

// program returns the name in the root of the program that is called as; "" = there is none.
func (r *run) program(dir, as string) string {
	places := []string{as}
	if !strings.Contains(as, "/") {
		places = nil
		for _, d := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
			places = append(places, path.Join(d, as))
		}
	}
	for _, p := range places {
		if name, f, err := r.root.find(dir, p, true); err == nil && f.Mode.IsRegular() && f.Mode&0o111 != 0 {
			return name
		}
	}
	return ""
}

const confmodule = "/usr/share/debconf/confmodule"

// tail keeps the end of what a script prints.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if len(t.b) > most {
		t.b = slices.Clone(t.b[len(t.b)-most:])
	}
	return len(b), nil
}

// last returns the last line that was printed.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	return lines[len(lines)-1]
}
