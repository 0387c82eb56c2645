package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/nodeapi"
)

const slowest = 15 * time.Minute // between polls of sites that do not answer

// Run serves the control socket, starts or adopts the services of the current generation, decides an undecided switch,
// and then follows the node's sources until ctx ends. Services go on running after it. Its error is nil when ctx ended.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := a.listen()
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx) }()
	a.mu.Lock()
	a.running = true
	a.mu.Unlock()
	err = a.follow(ctx)
	cancel()
	return errors.Join(ended(err), ended(<-served))
}

func ended(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// ready tells, once, that the services run and the agent answers.
func (a *Agent) ready() {
	a.mu.Lock()
	tell := a.running && !a.told
	a.told = a.told || tell
	a.mu.Unlock()
	if tell && a.o.Ready != nil {
		a.o.Ready()
	}
}

// follow is the main loop. Nothing that a source does or does not do ends it.
func (a *Agent) follow(ctx context.Context) error {
	for {
		err := a.turnFor(ctx, a.resume)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			a.problem("start", "")
			break
		}
		a.problem("start", err.Error())
		a.o.Log.Error("the node's generation could not be started", keyError, err)
		if !pause(ctx, a.o.Watch) {
			return ctx.Err()
		}
	}
	a.ready()
	if _, err := a.node.Collect(); err != nil {
		a.o.Log.Warn("old generations were not removed", keyError, err)
	}
	w := &watcher{seen: map[string]seen{}}
	watch, poll := time.NewTimer(0), time.NewTimer(0)
	defer watch.Stop()
	defer poll.Stop()
	wait := a.o.Poll
	var list []*feed
	var feeds map[string]*feed
	defer func() {
		for _, f := range feeds {
			f.CloseIdleConnections()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.wake:
			a.loadConfig()
			w.seen = map[string]seen{}
			wait = a.o.Poll
			watch.Reset(0)
			poll.Reset(0)
		case <-a.hand:
			a.handOver(ctx)
		case <-watch.C:
			if err := a.turnFor(ctx, a.resume); err != nil && ctx.Err() == nil { // what could not be prepared before
				a.o.Log.Warn("the node's generation does not run whole", keyError, err)
			}
			a.watch(ctx, w)
			watch.Reset(a.o.Watch)
		case <-poll.C:
			list, feeds = a.feeds(feeds)
			if a.poll(ctx, list) {
				wait = a.o.Poll
			} else {
				wait = min(2*wait, max(slowest, a.o.Poll))
			}
			poll.Reset(wait*3/4 + rand.N(wait/2+1))
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *Agent) turnFor(ctx context.Context, f func(context.Context) error) error {
	done, err := a.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	return f(ctx)
}

// feed is a site that is followed. Its connection, its last answers and what is known of its lies last as long as it.
type feed struct {
	*fetch.SiteSource
	fetcher *fetch.Fetcher
}

// Live reports that a feed can be asked for what is new.
func (*feed) Live() bool { return true }

// feeds returns the sites that the node follows, in order, and keeps those that it followed before.
func (a *Agent) feeds(old map[string]*feed) (list []*feed, now map[string]*feed) {
	now = map[string]*feed{}
	var sites []fetch.Source
	for _, name := range a.node.State().Settings.Sites {
		f := old[name]
		if f == nil {
			site, err := fetch.Site(name, fetch.SiteOptions{})
			if err != nil {
				a.problem("site "+name, err.Error())
				continue
			}
			f = &feed{SiteSource: site}
		}
		now[name] = f
		list = append(list, f)
		sites = append(sites, f.SiteSource)
	}
	same := len(now) == len(old)
	for name, f := range old {
		if now[name] == nil {
			f.CloseIdleConnections()
			a.problem("site "+name, "")
			same = false
		}
	}
	if !same {
		fetcher := a.fetcher(sites...)
		for _, f := range list {
			f.fetcher = fetcher
		}
	}
	return list, now
}

// fetcher returns a fetcher into the depot from sources.
func (a *Agent) fetcher(sources ...fetch.Source) *fetch.Fetcher {
	return fetch.New(a.depot, fetch.Options{Sources: sources, Log: a.o.Log, Progress: func(e fetch.Event) {
		a.mu.Lock()
		e.What = a.names[e.Digest]
		a.mu.Unlock()
		a.progress(e.Event)
	}})
}

// named gives blob d a name for people who watch it being fetched.
func (a *Agent) named(d digest.Digest, name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.names[d] = name
}

// poll asks the sites, in order, until one has an answer that can be used. It reports whether one did.
func (a *Agent) poll(ctx context.Context, list []*feed) bool {
	for _, f := range list {
		r, err := a.look(ctx, f)
		if ctx.Err() != nil {
			return false
		}
		a.noteLook(f.Name(), r.Outcome, err)
		switch errs.KindOf(err) {
		case errs.Unavailable, errs.Untrusted:
			continue
		}
		return true
	}
	return len(list) == 0
}

// look installs what src says, as something that came by itself: a person's request interrupts it while it stages, and
// then the error is of kind errs.Cancelled and says nothing about src.
func (a *Agent) look(ctx context.Context, src Source) (nodeapi.Report, error) {
	done, err := a.take(ctx)
	if err != nil {
		return nodeapi.Report{}, err
	}
	defer done()
	staging, cancel := context.WithCancel(ctx)
	defer cancel()
	a.mu.Lock()
	a.abort = cancel
	a.mu.Unlock()
	r, err := a.install(ctx, staging, src, nodeapi.InstallOptions{})
	a.mu.Lock()
	a.abort = nil
	a.mu.Unlock()
	if err != nil && errs.KindOf(err) != errs.Partial && staging.Err() != nil && ctx.Err() == nil {
		a.rouse() // the source is looked at again when the person is served
		// Which read was ended, and in what words, is of no interest to anybody.
		err = errs.E(errs.Cancelled, errors.New("a person's request came first"))
	}
	return r, err
}

// interrupt ends the staging of a look in progress, so that a person need not wait for a slow link. What was fetched
// stays.
func (a *Agent) interrupt() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.abort != nil {
		a.abort()
	}
}

// rouse makes the main loop look at every source now.
func (a *Agent) rouse() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// noteLook remembers the outcome of a look for the status, and logs what is new. A look that the agent itself ended has
// no outcome: the one before it stays.
func (a *Agent) noteLook(source, outcome string, err error) {
	if errs.KindOf(err) == errs.Cancelled {
		return
	}
	l := &nodeapi.Look{Source: source, At: a.now(), Outcome: outcome}
	if err != nil {
		l.Error = err.Error()
	}
	a.mu.Lock()
	repeated := a.last != nil && a.last.Source == l.Source && a.last.Error == l.Error
	a.last = l
	a.mu.Unlock()
	if err == nil || repeated {
		return
	}
	if errs.KindOf(err) == errs.Untrusted {
		a.o.Log.Error("a source was refused", keySource, source, keyError, err)
	} else {
		a.o.Log.Warn("a source brought nothing", keySource, source, keyError, err)
	}
}

// seen is a file of a watched directory as it was last looked at.
type seen struct {
	size  int64
	mtime time.Time
	done  bool // it was opened as it is now
}

type watcher struct{ seen map[string]seen }

// watch looks at what appeared in the watched directories. A file counts once it has not changed between two looks.
func (a *Agent) watch(ctx context.Context, w *watcher) {
	here := map[string]bool{}
	for _, pattern := range a.node.State().Settings.Watch {
		for _, path := range volumeFiles(pattern) {
			here[path] = true
			if ctx.Err() != nil {
				return
			}
			if w.settled(path) && !a.offer(ctx, path) {
				delete(w.seen, path) // it may be readable later
			}
		}
	}
	for path := range w.seen {
		if !here[path] {
			delete(w.seen, path)
		}
	}
}

// settled reports whether the file at path is new and was the same at two looks.
func (w *watcher) settled(path string) bool {
	size, newest, ok := signature(path)
	if !ok {
		return false
	}
	now := seen{size: size, mtime: newest}
	old, known := w.seen[path]
	if !known || old.size != now.size || !old.mtime.Equal(now.mtime) {
		w.seen[path] = now
		return false
	}
	if old.done {
		return false
	}
	old.done = true
	w.seen[path] = old
	return true
}

// offer installs from the volume or depot at path. It reports whether that was decided, for good or bad.
func (a *Agent) offer(ctx context.Context, path string) bool {
	var r nodeapi.Report
	src, done, err := OpenSource(path)
	if err == nil {
		r, err = a.look(ctx, src)
		err = errors.Join(err, done())
	}
	a.noteLook(path, r.Outcome, err)
	if err == nil {
		return true
	}
	switch errs.KindOf(err) {
	case errs.Internal, errs.Unavailable, errs.Cancelled:
		return false
	}
	return true
}
