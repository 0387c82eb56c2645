package site

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/httpx"
	"overland/internal/netcache/server"
	storedir "overland/internal/store/dir"
	"overland/internal/trust"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

const (
	defaultListen  = ":8443"
	defaultGrace   = 10 * time.Second
	defaultRefresh = 5 * time.Minute
	defaultConns   = 4096
	headerTimeout  = 30 * time.Second // of a request's header and of the TLS handshake, which fit 4 KB/s many times
	idleTimeout    = 2 * time.Minute
	headerLimit    = 16 << 10
	leftover       = 30 * 24 * time.Hour // after which a partial blob is one that nobody will go on with
)

// Options are the settings of Run. The zero value works.
type Options struct {
	Listen  string            // IP address and port; default ":8443"
	Log     *slog.Logger      // default: nothing is logged
	Ready   func(addr string) // called once with the address listened on, when requests are answered
	Grace   time.Duration     // what requests get to finish at the end; default 10 s
	Refresh time.Duration     // between looks at the timestamp's age; default 5 min
	Conns   int               // connections open at once, of each listener; more wait; default 4096
	Cache   CacheOptions      // the cache; default: none

	Upstreams []string          // URLs of sites that are asked for what is not here, the near ones first; default: none
	Root      trust.Fingerprint // whose metadata they are asked for; needed once, and not by a site that signs its own

	refresh   func(context.Context) error // in place of the trust folder's
	passLimit int64                       // most bytes of one blob from Upstreams; default the chain's
	passStall time.Duration               // of Upstreams; default the chain's
	passFresh time.Duration               // between looks at their metadata; default the chain's
}

// Run serves the site in dir, which Init has made, until ctx ends, gives the requests under way Options.Grace to finish, and
// returns nil. While it runs it signs the timestamp anew before that expires, when the keys for that are
// here and need no passphrase.
func Run(ctx context.Context, dir string, o Options) error {
	if err := run(ctx, dir, o.defaults(dir)); err != nil {
		return fmt.Errorf("site %s: %w", dir, err)
	}
	return nil
}

func (o Options) defaults(dir string) Options {
	if o.Listen == "" {
		o.Listen = defaultListen
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Grace <= 0 {
		o.Grace = defaultGrace
	}
	if o.Refresh <= 0 {
		o.Refresh = defaultRefresh
	}
	if o.Conns <= 0 {
		o.Conns = defaultConns
	}
	if o.refresh == nil {
		o.refresh = func(ctx context.Context) error { return refresh(ctx, dir) }
	}
	return o
}

func run(ctx context.Context, dir string, o Options) (err error) {
	if _, _, err := parseListen(o.Listen); err != nil {
		return err
	}
	if err := refuseOther(dir); err != nil {
		return err
	}
	if _, err := makeSite(fsx.FS{}, dir); err != nil {
		return err
	}
	cert, pin, err := identity(fsx.FS{}, home.TLS.In(dir))
	if err != nil {
		return err
	}
	blobs, err := storedir.Open(home.Depot.In(dir), storedir.Options{})
	if err != nil {
		return err
	}
	plain, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return errs.Hint(err, "another program may have that port: choose one with --listen")
	}
	w := wire{dir: dir, blobs: blobs, log: o.Log}
	config := &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"http/1.1"},
	}
	if o.Cache.Listen != "" || len(o.Upstreams) > 0 {
		if w.cached, err = openCache(ctx, dir, blobs, o); err != nil {
			return errors.Join(fmt.Errorf("cache: %w", err), plain.Close())
		}
		defer func() { err = errors.Join(err, w.cached.close()) }()
		// Who writes to the network cache is known by a certificate: here, not over plain HTTP.
		config = server.ClientAuth(config)
	}
	face, plainFace := w.handlers(httpx.ID(pin))
	tuned := limit(plain, o.Conns)
	tuned.tune = tune
	listener := tls.NewListener(tuned, config)
	group, ctx := errgroup.WithContext(ctx)
	serve(ctx, group, o, listener, tuned, face)
	if w.signs() {
		group.Go(func() error { keepFresh(ctx, o); return nil })
	}
	o.Log.Info("site serves", "addr", plain.Addr().String(), "pin", pin.String())
	if w.cached != nil {
		group.Go(func() error { return w.cached.keeper.Run(ctx) })
		group.Go(func() error { tidy(ctx, blobs, o.Log); return nil })
	}
	if plainFace != nil {
		addr := w.cached.listener.Addr().String()
		serve(ctx, group, o, w.cached.listener, w.cached.listener, plainFace)
		o.Log.Info("cache serves", "addr", addr)
		if o.Cache.Ready != nil {
			o.Cache.Ready(addr)
		}
	}
	if o.Ready != nil {
		o.Ready(plain.Addr().String())
	}
	return group.Wait()
}

// serve answers on listener, which stands on places, by handler, in group, until ctx ends.
func serve(ctx context.Context, group *errgroup.Group, o Options, listener net.Listener, places *limited, handler http.Handler) {
	s := &http.Server{
		Handler:                      handler,
		ConnState:                    places.state,
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               headerLimit,
		ErrorLog:                     slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		DisableGeneralOptionsHandler: true,
	}
	group.Go(func() error {
		if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Grace)
		defer cancel()
		// A download at 4 KB/s is not waited for: its client goes on where it was, with the next start.
		if err := s.Shutdown(grace); err != nil {
			return s.Close()
		}
		return nil
	})
}

// keepFresh renews the timestamp until ctx ends. A trouble is logged when it begins and when it ends, not each time.
func keepFresh(ctx context.Context, o Options) {
	ticker := time.NewTicker(o.Refresh)
	defer ticker.Stop()
	for trouble := ""; ; {
		err := o.refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != trouble {
			report(o.Log, err)
		}
		switch {
		case err != nil:
			trouble = err.Error()
		case trouble != "":
			o.Log.Info("the signed metadata is kept fresh")
			trouble = ""
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tidy frees the depot of what never became a blob, at once and each day, until ctx ends.
func tidy(ctx context.Context, blobs *storedir.Store, log *slog.Logger) {
	ticker := time.NewTicker(24 * time.Hour)
	defer ticker.Stop()
	for {
		if err := blobs.Tidy(ctx, leftover); err != nil && ctx.Err() == nil {
			log.Warn("what was left half-way is not removed", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func report(log *slog.Logger, err error) {
	switch errs.KindOf(err) {
	case errs.NotFound:
		log.Info("nothing is signed yet", "hint", errs.HintOf(err))
	case errs.Partial:
		log.Error("metadata will expire that needs a person's key", "err", err, "hint", errs.HintOf(err))
	default:
		log.Error("the timestamp cannot be renewed: nodes will refuse it when it expires", "err", err, "hint", errs.HintOf(err))
	}
}

// refresh opens the trust folder anew each time: keys and roles change under a running site.
func refresh(ctx context.Context, dir string) error {
	keys, err := keys.Open(home.Keys.In(dir), keys.Options{})
	if err != nil {
		return err
	}
	repo, err := repository.Open(ctx, repository.Dir(home.Trust.In(dir), fsx.FS{}), keys, repository.Options{})
	if err != nil {
		return err
	}
	return repo.Refresh(ctx)
}
