package follow

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"overland/internal/agent/node"
	"overland/internal/agent/stage"
	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/health"
	"overland/internal/nodeapi"
	"overland/internal/printer"
)

const (
	slowest = 15 * time.Minute // between polls of sites that do not answer
	endTime = 5 * time.Second  // that a loop may take to end
)

// Options are what a Follower needs. All but Node, Fetcher, Resume and Install has a default.
type Options struct {
	Node    *node.Node
	Fetcher *fetch.Fetcher // into the depot; its sources become the sites that the node follows
	Poll    time.Duration  // between polls of a site, ± a quarter; 0 = 1 min
	Watch   time.Duration  // between looks at watched directories; 0 = 5 s
	Clock   clock.Clock    // nil = the machine's
	Log     *slog.Logger   // nil = nowhere

	// Resume brings the node to where its state says that it should be. It is called until it
	// succeeds, and then again and again.
	Resume func(ctx context.Context) error
	// Resumed is called once, after the first Resume that succeeded; nil = not needed.
	Resumed func()
	// Trying reports whether what was found is being tried, so that something newer may come;
	// nil = never.
	Trying func() bool
	// Install makes the node run what src says. An error of kind Cancelled says nothing about src.
	Install func(ctx context.Context, src stage.Source) (nodeapi.Report, error)

	look func(dir string) folder // at a watched directory; nil = lookAt
	wait time.Duration           // of one look for all of them; 0 = inquiryTime
}

// Follower looks for news at the sites and in the directories that a node follows.
type Follower struct {
	o         Options
	wake      chan struct{}           // look at every source now
	wakeWatch chan struct{}           // one for each loop
	wakePoll  chan struct{}           //
	troubles  health.Troubles[string] // of each source

	mu   sync.Mutex
	last *nodeapi.Look
}

// New returns a Follower, which does nothing before Run.
func New(o Options) *Follower {
	o.Poll, o.Watch = cmp.Or(max(o.Poll, 0), time.Minute), cmp.Or(max(o.Watch, 0), 5*time.Second)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.look == nil {
		o.look = lookAt
	}
	if o.Trying == nil {
		o.Trying = func() bool { return false }
	}
	return &Follower{o: o, wake: make(chan struct{}, 1), wakeWatch: make(chan struct{}, 1), wakePoll: make(chan struct{}, 1)}
}

// Run is the main loop; it ends with ctx. Nothing that a source does or does not do ends it. The
// sites and the watched directories have a loop each: one that hangs does not hold up the other.
func (f *Follower) Run(ctx context.Context) error {
	for {
		err := f.o.Resume(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			f.o.Node.Problem("start", "")
			break
		}
		f.o.Node.Problem("start", printer.Error(err))
		f.o.Log.Error("the node's generation could not be started", "error", err)
		if !pause(ctx, f.o.Watch) {
			return ctx.Err()
		}
	}
	if f.o.Resumed != nil {
		f.o.Resumed()
	}
	if _, err := f.o.Node.Collect(); err != nil {
		f.o.Log.Warn("old generations were not removed", "error", err)
	}
	loops := []func(context.Context){f.watchLoop, f.pollLoop}
	ended := make(chan struct{}, len(loops))
	for _, loop := range loops {
		go func() {
			loop(ctx)
			ended <- struct{}{}
		}()
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-f.wake:
			f.o.Node.LoadConfig()
			rouse(f.wakeWatch)
			rouse(f.wakePoll)
		}
	}
	// A loop whose read of a dead network folder never returns must not hold up the end.
	late := time.NewTimer(endTime)
	defer late.Stop()
	for range loops {
		select {
		case <-ended:
		case <-late.C:
			f.o.Log.Warn("a source does not let go: it is left behind")
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// pollLoop asks the sites again and again, until ctx ends. What a poll found may be tried for an
// hour: meanwhile the sites are asked for something newer.
func (f *Follower) pollLoop(ctx context.Context) {
	poll := time.NewTimer(0)
	defer poll.Stop()
	wait := f.o.Poll
	var feeds map[string]*feed
	polled := make(chan bool)
	running := 0
	defer func() {
		for range running {
			<-polled
		}
		for _, one := range feeds {
			if one != nil {
				one.CloseIdleConnections()
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wakePoll:
			wait = f.o.Poll
			poll.Reset(0)
		case <-poll.C:
			poll.Reset(jitter(f.o.Poll)) // or when this one is over
			if running > 0 && (running > 1 || !f.o.Trying()) {
				continue
			}
			var list []*feed
			list, feeds = f.feeds(feeds)
			running++
			go func() { polled <- f.poll(ctx, list) }()
		case useful := <-polled:
			running--
			if useful {
				wait = f.o.Poll
			} else {
				wait = min(2*wait, max(slowest, f.o.Poll))
			}
			poll.Reset(jitter(wait))
		}
	}
}

func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2+1) }

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

// feed is a site that is followed: each blob may come from any of them.
type feed struct {
	*fetch.SiteSource
	fetcher *fetch.Fetcher
}

// Fetcher returns the one fetcher of all feeds. It outlives changes of their list, so what is known
// of a site that lied stays known.
func (f *feed) Fetcher() *fetch.Fetcher { return f.fetcher }

// Live reports that a feed can be asked for what is new.
func (*feed) Live() bool { return true }

// feeds returns the sites that the node follows, in order, and keeps those that it followed before;
// now has nil for one that cannot be used.
func (f *Follower) feeds(old map[string]*feed) (list []*feed, now map[string]*feed) {
	now = map[string]*feed{}
	var sites []fetch.Source
	for _, name := range f.o.Node.State().Settings.Sites {
		one := old[name]
		if one == nil {
			site, err := fetch.Site(name, fetch.SiteOptions{})
			if err != nil {
				f.o.Node.Problem("site "+name, printer.Error(err))
				now[name] = nil
				continue
			}
			one = &feed{SiteSource: site, fetcher: f.o.Fetcher}
		}
		now[name] = one
		list = append(list, one)
		sites = append(sites, one.SiteSource)
	}
	for name, one := range old {
		if _, still := now[name]; still {
			continue
		}
		if one != nil {
			one.CloseIdleConnections()
		}
		f.o.Node.Problem("site "+name, "")
	}
	f.o.Fetcher.SetSources(sites...)
	return list, now
}

// poll asks the sites, in order, until one has an answer that can be
// used. It reports whether one did.
func (f *Follower) poll(ctx context.Context, list []*feed) bool {
	for _, one := range list {
		r, err := f.o.Install(ctx, one)
		if ctx.Err() != nil {
			return false
		}
		f.noteLook(one.Name(), r.Outcome, err)
		switch errs.KindOf(err) {
		case errs.Unavailable, errs.Untrusted:
			continue
		}
		return true
	}
	return len(list) == 0
}

// Rouse makes the loops look at every source now.
func (f *Follower) Rouse() { rouse(f.wake) }

func rouse(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// noteLook remembers the outcome of a look for the status, and logs what is new. A look that the
// agent itself ended has no outcome: the one before it stays.
func (f *Follower) noteLook(source, outcome string, err error) {
	if errs.KindOf(err) == errs.Cancelled {
		return
	}
	l := &nodeapi.Look{Source: source, At: f.o.Clock.Or()(), Outcome: outcome}
	if err != nil {
		l.Error = printer.Error(err)
	}
	f.mu.Lock()
	f.last = l
	f.mu.Unlock()
	if f.troubles.Report(source, err) != health.Began {
		return
	}
	if errs.KindOf(err) == errs.Untrusted {
		f.o.Log.Error("a source was refused", "source", source, "error", err)
	} else {
		f.o.Log.Warn("a source brought nothing", "source", source, "error", err)
	}
}

// Last returns the last look at a source; nil = there was none.
func (f *Follower) Last() *nodeapi.Look {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}
