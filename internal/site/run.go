package site

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"overland/internal/admission"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/mirror"
	"overland/internal/netcache/server"
	"overland/internal/server/node"
	"overland/internal/trust"
)

const (
	defaultListen  = ":8443"
	defaultGrace   = 10 * time.Second
	defaultRefresh = 5 * time.Minute
	defaultConns   = 4096
	listeners      = 2
	ownFiles       = 1024 // descriptors for what is not a connection: blobs, databases, origins
	headerLimit    = 16 << 10
	bodyTimeout    = 30 * time.Second // without, or with next to nothing of, a body that is not there yet
)

// Options are the settings of Run. The zero value works.
type Options struct {
	Listen  string            // IP address and port; default ":8443"
	Log     *slog.Logger      // default: nothing is logged
	Ready   func(addr string) // called once with the address listened on, when requests are answered
	Grace   time.Duration     // what requests get to finish at the end; default 10 s
	Refresh time.Duration     // between looks at the timestamp's age; default 5 min
	Conns   int               // connections open at once, of each listener, shared among clients; more wait; default 4096
	Names   []string          // names and addresses by which clients reach the site, more than the machine's own; default: none
	Trusted []netip.Prefix    // proxies whose X-Forwarded-For is believed; default: none
	Cache   CacheOptions      // the cache; default: none
	Images  RegistryOptions   // the registry

	Upstreams []string          // URLs of sites that are asked for what is not here, the near ones first; default: none
	Root      trust.Fingerprint // whose metadata they are asked for; needed once, and not by a site that signs its own

	files *admission.Files // of both listeners; nil = any number
}

// edges are what tests put in place of the world at a site's edge; the zero value is the world.
type edges struct {
	refresh func(context.Context) error // signs the timestamp
	mirror  mirror.Options              // Limit, Stall and Fresh alone
}

// Run serves the site in dir, which Init has made, as Site.Run does.
func Run(ctx context.Context, dir string, o Options) error { return runIn(ctx, dir, o, edges{}) }

func runIn(ctx context.Context, dir string, o Options, e edges) error {
	if err := refuseOther(dir); err != nil {
		return fmt.Errorf("site %s: %w", dir, err)
	}
	s, err := initialise(fsx.FS{}, dir)
	if err != nil {
		return err
	}
	return s.run(ctx, o, e)
}

// Run serves the site until ctx ends, gives the requests under way Options.Grace to finish, and
// returns nil. While it runs it signs the timestamp before that expires, if the keys for that
// are here and need no passphrase.
func (s *Site) Run(ctx context.Context, o Options) error { return s.run(ctx, o, edges{}) }

func (s *Site) run(ctx context.Context, o Options, e edges) error {
	if err := s.compose(ctx, o.defaults(), e); err != nil {
		return fmt.Errorf("site %s: %w", s.Dir, err)
	}
	return nil
}

func (o Options) defaults() Options {
	o.Listen = cmp.Or(o.Listen, defaultListen)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	o.Grace = cmp.Or(max(o.Grace, 0), defaultGrace)
	o.Refresh = cmp.Or(max(o.Refresh, 0), defaultRefresh)
	o.Conns = cmp.Or(max(o.Conns, 0), defaultConns)
	o.Log = slog.New(admission.Calm(o.Log.Handler()))
	if most := openFiles(); most > 0 {
		o.files = &admission.Files{Most: max(most-ownFiles, most/2)}
		if fit := int(o.files.Most / listeners); o.Conns > fit {
			o.Log.Warn("this process may not open enough files for so many connections", "connections", o.Conns, "served", fit,
				"hint", "raise the limit of open files (ulimit -n, LimitNOFILE), or set connections in site.yaml")
			o.Conns = fit
		}
	}
	return o
}

// compose opens what the site consists of, and runs it.
func (s *Site) compose(ctx context.Context, o Options, e edges) (err error) {
	if _, _, err := parseListen(o.Listen); err != nil {
		return err
	}
	plain, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return errs.Hint(err, "another program may have that port: choose one with --listen")
	}
	known, err := openFacts(ctx, s.Dir)
	if err != nil {
		return errors.Join(err, plain.Close())
	}
	defer func() { err = errors.Join(err, known.Close()) }()
	images, err := openImages(s.Dir, s.depot, known, o)
	if err != nil {
		return errors.Join(fmt.Errorf("registry: %w", err), plain.Close())
	}
	defer func() { err = errors.Join(err, images.registry.Close()) }()
	var c *cached // nil = the site keeps nothing of others
	if o.Cache.Listen != "" || len(o.Upstreams) > 0 || len(o.Images.Mirrors) > 0 {
		if c, err = openCache(ctx, s.Dir, s.depot, known, images, o, e); err != nil {
			return errors.Join(fmt.Errorf("cache: %w", err), plain.Close())
		}
		defer func() { err = errors.Join(err, c.close()) }()
	}
	signed := metadata{dir: s.Dir}
	if c != nil {
		signed.chain = c.chain
	}
	if err := s.certify(o, plain.Addr().String()); err != nil {
		return errors.Join(err, plain.Close())
	}
	services := []Service{s.overHTTPS(plain, s.faces(c, images, signed, o), c, o), s.keepCertified(plain.Addr().String(), o), {"registry", images.registry.Run}}
	if signed.own() {
		if e.refresh == nil {
			e.refresh = func(ctx context.Context) error { return refresh(ctx, s.Dir) }
		}
		services = append(services, keepFresh(o, e.refresh))
	}
	if c != nil {
		services = append(services, Service{"cache", c.cache.Run}, s.tidy(known, o.Log))
	}
	if c != nil && c.handler != nil {
		services = append(services, s.overHTTP(c, images, o))
	}
	return runServices(ctx, services, func() {
		o.Log.Info("site serves", "addr", plain.Addr().String(), "pin", s.Pin)
		if c != nil && c.handler != nil {
			addr := c.listener.Addr().String()
			o.Log.Info("cache serves", "addr", addr)
			if o.Cache.Ready != nil {
				o.Cache.Ready(addr)
			}
		}
		if o.Ready != nil {
			o.Ready(plain.Addr().String())
		}
	})
}

// faces returns what is answered over HTTPS.
func (s *Site) faces(c *cached, images *images, signed metadata, o Options) []Route {
	n := node.Options{Blobs: s.depot, Trust: signed, Log: o.Log}
	if images.private != nil {
		n.Blobs = images.private
	}
	if c == nil {
		return []Route{images.route(true), {"/", Anyone, node.New(n)}}
	}
	n.Offline = c.offline
	if c.chain != nil {
		n.Through, n.Blobs = c.chain, noted{n.Blobs, c}
	}
	routes := append(c.netcache.routes(), images.route(true), Route{"/", Anyone, node.New(n)})
	if c.entries != nil {
		routes = append(routes, Route{mirror.CachePath, Anyone, c.entries})
	}
	return routes
}

// over returns the handler of routes behind what all of them have in common. proxy, which may be
// nil, answers what a proxy is asked for; e is how the clients of this listener are told of errors.
func (s *Site) over(routes []Route, c *cached, proxy http.Handler, e httpx.Errors, o Options) http.Handler {
	var asked []string
	if c != nil && c.chain != nil {
		asked = c.chain.IDs()
	}
	h := httpx.WithVia(httpx.ID(s.pin), asked, router(routes, noAccounts))
	hosts := &httpx.Hosts{Names: o.Names, Hint: "names: [%s] in site.yaml adds it; the addresses of this machine need not be named", Errors: e}
	return admission.Forwarded(o.Trusted, httpx.Bodies(hosts.Guard(h, proxy), bodyTimeout))
}

func (s *Site) overHTTPS(plain net.Listener, routes []Route, c *cached, o Options) Service {
	config := &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.cert.Load(), nil },
		MinVersion:     tls.VersionTLS13,
		NextProtos:     []string{"http/1.1"},
	}
	// Accounts of the registry, and writers of the network cache, may be known by a certificate.
	config = server.ClientAuth(config)
	places := admission.Listen(plain, admission.Options{Conns: o.Conns, Trusted: o.Trusted, Files: o.files, Tune: tune})
	return serve("HTTPS", tls.NewListener(places, config), s.over(routes, c, nil, httpx.Errors{Form: httpx.JSON}, o), o)
}

func (s *Site) overHTTP(c *cached, images *images, o Options) Service {
	routes := append(c.netcache.routes(), images.route(false), Route{"/", Anyone, c.handler})
	return serve("cache over HTTP", c.listener, s.over(routes, c, c.handler, httpx.Errors{}, o), o)
}

// serve returns the service that answers on listener with handler.
func serve(name string, listener net.Listener, handler http.Handler, o Options) Service {
	return Service{name, func(ctx context.Context) error {
		s := admission.Server(handler, headerLimit)
		s.ErrorLog = slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)
		ended := make(chan error, 1)
		stop := context.AfterFunc(ctx, func() {
			grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Grace)
			defer cancel()
			// A download at 4 KB/s is not waited for: its client resumes it after the next start.
			if err := s.Shutdown(grace); err != nil {
				ended <- s.Close()
				return
			}
			ended <- nil
		})
		if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			stop()
			return err
		}
		return <-ended
	}}
}
