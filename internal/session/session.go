package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"overland/internal/admission"
	"overland/internal/confine"
	"overland/internal/confine/border"
	"overland/internal/confine/cell"
	"overland/internal/digest"
	"overland/internal/ecosystem/plain"
	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/progress"
	"overland/internal/record"
	"overland/internal/store"
)

// Options says what to run and where things are.
type Options struct {
	Store         Depot          // Replay does not need it if it has Blobs
	Blobs         store.Opener   // where Replay finds bytes; nil = Store
	Lock          *lockfile.Lock // what is already locked; nil = nothing
	Seen          *lockfile.Lock // Record: the lock that the new one will take the place of: no index may be older than in it; nil = nothing
	LockFile      string         // its absolute path; the caches are named after it
	Dir           string         // for caches; created if missing
	Command       []string
	WorkDir       string   // the command's folder; "" = the caller's
	Environ       []string // the command's, before what a session adds
	Stdin         io.Reader
	Stdout        io.Writer
	Stderr        io.Writer
	MachineCaches bool // the tools use the machine's caches: what these hold is not recorded
	Upstream      *origin.Client
	Pins          plain.Pins           // the digests that URLs must have
	Resume        bool                 // Record: reuse what an earlier session of LockFile had proved before it failed
	Reach         Reach                // Record: what the command can reach
	Progress      func(progress.Event) // Verify; nil = nobody is told
	Proofs        bool                 // Replay: Result.Lock includes what proves the entries that were used

	Isolation cell.Isolation // Replay: "" = cell.Full
	Own       []string       // Replay: folders that were made for this command; WorkDir may be in one
	Write     []string       // Replay: folders of the caller's that it may change, beside WorkDir
	Read      []string       // Replay: further files and folders that it sees
	Hide      []string       // Replay: folders that it must not see, though they lie in one that it sees
	Limits    confine.Limits // Replay

	etc string // where the machine's settings are; "" = /etc
}

// Reach is what the command of a recording can reach.
type Reach int

// The reaches.
const (
	// Everything that this machine can: what goes past the recorder is not known.
	Everything Reach = iota
	// Services is the recorder, and what listens on the loopback interface of this machine. Where the machine
	// cannot isolate, and for a command that needs more rights than isolation leaves, it is Everything.
	Services
	// Nothing but the recorder; where the machine cannot do it, that is an error.
	Nothing
)

// Depot is where a session keeps blobs.
type Depot interface {
	store.Blobs
	store.Stager
	// Claim notes that locks name blobs of the depot: a garbage collection that
	// does not read them is refused.
	Claim(name string) error
	// Touch has blob d stay, whatever a garbage collection has looked before; the error wraps
	// store.ErrNotFound when it is gone already.
	Touch(d digest.Digest) error
}

// Keep touches the blobs of lock l, which was written in place of old and noted where a garbage
// collection looks. A blob that l has and old has not must be there: else an error of kind Conflict
// says that one was removed meanwhile.
func Keep(depot Depot, old, l *lockfile.Lock) error {
	had := map[digest.Digest]bool{}
	for _, e := range old.Entries {
		had[e.Blob] = true
	}
	for _, e := range l.Entries {
		if !e.Exists() {
			continue
		}
		switch err := depot.Touch(e.Blob); {
		case errors.Is(err, store.ErrNotFound) && had[e.Blob]: // another depot has it
		case errors.Is(err, store.ErrNotFound):
			return errs.Hint(errs.Errorf(errs.Conflict, "%s %s was removed from the depot meanwhile: %w", e.Protocol, e.Key, err),
				"record again: it is fetched anew")
		case err != nil:
			return err
		}
	}
	return nil
}

// ExitError is the error of a command that ended with another exit code than 0.
type ExitError struct {
	Command string
	Code    int
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s ended with exit code %d", e.Command, e.Code)
}

// Result is the outcome of a session.
type Result struct {
	Lock       *lockfile.Lock // Record: the old and the new entries; Replay: those that were used
	Problems   []error        // requests that could not be answered
	Unproved   []error        // Record: why tools fetch as plain URLs, which their own proofs do not cover
	Unrecorded []error        // Record: what tools read past the recorder
	Strangers  string         // Record: the connections that were refused, for people; "" = none
	Lacking    []string       // Record: what the project needs by its own files, and Lock has not

	Isolated bool             // Record: nothing could go past the recorder unseen
	Open     error            // Record with Services: why it was not isolated; nil = it was
	Past     []border.Attempt // of an isolated recording: what the command tried past the recorder, without success
	Local    []border.Attempt // of one with Services: the services of this machine that it used, which a replay lacks
}

// Verb is the hidden verb of the program that calls Inside with its arguments.
const Verb = "inside"

// signalled plus the number of the signal that ended a command is its exit code, as in shells.
const signalled = 128

// shutdown is how long a command may take to stop after SIGTERM.
const shutdown = 10 * time.Second

// Record runs the command and returns the lock of what it fetched. An error
// of the command is an *ExitError.
func Record(ctx context.Context, o Options) (*Result, error) {
	if o.Upstream == nil {
		o.Upstream = &origin.Client{Dir: o.Dir} // beside the depot: the system's temporary folder may be small
	}
	o.Lock = cmp.Or(o.Lock, &lockfile.Lock{})
	err := o.Store.Claim(store.ClaimLocks)
	if err != nil {
		return nil, err
	}
	if o.Lock, err = o.Pins.Hold(o.Lock); err != nil {
		return nil, err
	}
	var notes *journal
	r := record.NewRecorder(o.Store, record.Options{Upstream: o.Upstream, Lock: o.Lock, Seen: o.Seen, Note: func(e lockfile.Entry) { notes.add(e) }})
	defer r.Close()
	s, err := open(ctx, o, r)
	if err != nil {
		return nil, err
	}
	defer s.close()
	notes, earlier, err := openJournal(s.caches+".journal", o.Lock)
	if err != nil {
		return nil, err
	}
	defer notes.f.Close()
	if o.Resume {
		earlier.Entries = slices.DeleteFunc(earlier.Entries, func(e lockfile.Entry) bool {
			return e.Protocol == plain.Name && o.Pins[e.Key] != e.Blob
		})
		r.Resume(earlier)
	}
	r.Forget() // what openTools requested
	var ran Result
	if err = s.run(ctx, &ran); err == nil {
		s.beside(ctx, r)
	}
	if lost := r.Settle(); lost != nil {
		err = lost // even if the command failed: this may be why
	}
	res := &ran
	res.Lock, res.Problems, res.Unproved, res.Unrecorded = withoutIdle(s.chosen(r.Lock())), r.Problems(), slices.DeleteFunc(s.unfit, isNil), s.unrecorded
	if err == nil {
		res.Lacking = s.lacking(r, res.Lock)
	}
	return res, err
}

// run runs the command of a recording within its reach, and notes in res what it did there.
func (s *session) run(ctx context.Context, res *Result) (err error) {
	if s.o.Reach != Everything {
		if res.Open = s.rights(); s.o.Reach == Nothing || res.Open == nil {
			var begun bool
			begun, err = s.isolated(ctx, res)
			res.Isolated, res.Open = begun, err
			if begun || s.o.Reach == Nothing || ctx.Err() != nil {
				res.Open = nil
				return err
			}
		}
	}
	res.Strangers, err = s.outside(ctx, Recording)
	return err
}

func isNil(err error) bool { return err == nil }

// outside runs the command below a reaper, and serves it and all that it starts, and nobody else.
// The command can reach the network without it, too. strangers tells a person about the other
// processes that connected.
func (s *session) outside(ctx context.Context, kind string) (strangers string, _ error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	cmd, release, err := s.o.reaper(ctx, kind)
	if err != nil {
		return "", err
	}
	defer release()
	if cmd.Env, err = s.environ(ctx, l.Addr().String()); err != nil {
		return "", err
	}
	s.o.attach(cmd)
	if err := cmd.Start(); err != nil {
		return "", err
	}
	g := newGuard(l, cmd.Process.Pid) // until now, clients wait in the socket's queue
	stop := s.serve(g)
	err = s.o.explain(cmd.Wait())
	stop()
	return g.strangers(), err
}

// attach gives cmd the caller's streams.
func (o *Options) attach(cmd *exec.Cmd) {
	cmd.Dir = o.WorkDir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = o.Stdin, o.Stdout, o.Stderr
}

func (o *Options) explain(err error) error {
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) {
		return err
	}
	code := exit.ExitCode()
	if status, ok := exit.Sys().(syscall.WaitStatus); ok {
		code = exitCode(status)
	}
	return &ExitError{o.Command[0], code}
}

func exitCode(s syscall.WaitStatus) int {
	if s.Signaled() {
		return signalled + int(s.Signal())
	}
	return s.ExitStatus()
}

// session is one run.
type session struct {
	o          Options
	getter     record.Getter
	recording  bool
	clients    []client
	unfit      []error // Record: of each tool of the table, why it is not among the clients
	unrecorded []error
	proxy      *plain.Proxy
	lock       *fsx.Lock
	caches     string            // this session's folder
	ca         string            // a file with the authority's certificate
	authority  []byte            // that certificate, in PEM
	bundles    map[string]string // files with it and with the caller's, by the name of the caller's
}

// open prepares everything but the listener. The caller closes the session.
func open(ctx context.Context, o Options, g record.Getter) (_ *session, err error) {
	_, recording := g.(*record.Recorder)
	if len(o.Command) == 0 {
		return nil, errs.Errorf(errs.Invalid, "no command to run")
	}
	if _, err := exec.LookPath(o.Command[0]); err != nil {
		return nil, errs.Hint(errs.E(errs.NotFound, err), "is it installed, and in PATH?")
	}
	const idDigits, mode = 16, 0o700
	o.Environ = environ.Without(o.Environ)
	s := &session{o: o, getter: g, recording: recording, caches: filepath.Join(o.Dir, digest.Of([]byte(o.LockFile)).Encoded()[:idDigits])}
	if err := os.MkdirAll(o.Dir, mode); err != nil {
		return nil, err
	}
	if s.lock, err = fsx.TryLock(s.caches + ".lock"); err != nil {
		if errors.Is(err, fsx.ErrLocked) {
			return nil, errs.Hint(errs.E(errs.Conflict, err), "another session is using the same overland.lock: wait for it")
		}
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := discard(s.caches); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.caches, mode); err != nil {
		return nil, err
	}
	if err := s.openTools(ctx); err != nil {
		return nil, err
	}
	ca, err := plain.NewAuthority()
	if err != nil {
		return nil, err
	}
	s.ca, s.authority = filepath.Join(s.caches, authorityFile), ca.PEM()
	const file = 0o600
	if err := os.WriteFile(s.ca, s.authority, file); err != nil {
		return nil, err
	}
	s.proxy = plain.NewProxy(g, plain.Protocol{Pins: o.Pins}, ca, record.Handler(g, s.protocols()...))
	for _, c := range s.clients {
		for _, at := range c.Addresses {
			s.proxy.Own(at.Base, at.Protocol)
		}
	}
	return s, nil
}

// serveCell is serve for a listener that a confined command alone reaches, which is not believed: it may open connections
// without end, and each is a file of this process. Nobody's patience is tried: a command that is stopped keeps its downloads.
func (s *session) serveCell(l net.Listener) (stop func()) {
	const conns, slow = 512, 24 * time.Hour
	return s.serve(admission.Listen(l, admission.Options{Conns: conns, Slow: slow}))
}

// serve serves on l until stop is called.
func (s *session) serve(l net.Listener) (stop func()) {
	srv := plain.Server(addressed(l.Addr().String(), s.proxy))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(s.proxy.Listener(l)) // ends with Close
	}()
	return func() {
		_ = srv.Close()
		<-done
	}
}

// addressed returns next for requests that name addr as their host, and for those to a proxy, which
// name another. A web page whose own name was made to mean this machine (DNS rebinding) names that.
func addressed(addr string, next http.Handler) http.Handler {
	_, port, _ := net.SplitHostPort(addr)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect && !r.URL.IsAbs() && r.Host != addr && r.Host != "localhost:"+port {
			httpx.Errors{}.Write(w, r, httpx.WithStatus(errs.Errorf(errs.Denied, "%.200q is not this recorder", r.Host), http.StatusMisdirectedRequest))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *session) close() {
	if s.proxy != nil {
		_ = s.proxy.Close()
	}
	_ = discard(s.caches) // the next session tries again
	s.lock.Unlock()
}
