package site

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/site"
)

// initOptions are the settings of site init.
type initOptions struct{ dir string }

func initVerb(t *term.Term, run verb.Run[initOptions]) *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "Make a site directory and its certificate",
		Long: "Makes DIR a site directory with a certificate of its own, or completes it, and prints the pin by which nodes\n" +
			"know the site. Running it again changes nothing.",
		Example: "overland site init site",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return run(c.Context(), t, initOptions{args[0]})
		},
	}
}

func runInit(_ context.Context, t *term.Term, o initOptions) error {
	info, err := site.Init(o.dir)
	if err != nil {
		return err
	}
	t.Printf("%s\n", info.Pin)
	if info.Signs {
		t.Note("next: overland site run %s", o.dir)
		return nil
	}
	t.Note("next: overland --home %s trust init; overland site run %s\n"+
		"or, as a near copy of another site: overland site run %s --upstream URL --root FINGERPRINT", o.dir, o.dir, o.dir)
	return nil
}

// runOptions are the settings of site run.
type runOptions struct {
	dir       string
	listen    string
	cache     string
	size      string
	writes    string
	offline   bool
	origins   []string
	upstreams []string
	root      string
	names     []string
	conns     int // 0 = the default
	proxies   []netip.Prefix
	images    site.RegistryOptions
}

func runVerb(t *term.Term, run verb.Run[runOptions]) *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run DIR",
		Short: "Serve a site directory over HTTPS",
		Long: "Serves DIR until it is interrupted, and prints the URLs that nodes are given: they hold the site's pin, so a bare\n" +
			"IP address works, and no name service is needed. A DIR that is missing or empty is made a site first. With\n" +
			"--cache-listen it is also a cache of what the tools of other machines fetch, over plain HTTP and without asking\n" +
			"who they are: give it an address that only they can reach. `overland cache env` prints how to point a machine at\n" +
			"it. With --upstream it is a near copy of other sites: what it lacks it fetches from them, checks, and keeps.\n" +
			"DIR/site.yaml may say the same as these flags; a flag beats it.",
		Example: "overland site run site --listen 127.0.0.1:0\n" +
			"overland site run site --listen 127.0.0.1:0 --cache-listen 127.0.0.1:0 --cache-size 50GiB\n" +
			"overland site run copy --listen 127.0.0.1:0 --upstream https://127.0.0.1:8444#sha256:PIN --root FINGERPRINT",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			written, err := site.ReadSettings(args[0])
			if err != nil {
				return err
			}
			o.dir = args[0]
			if o.proxies, err = site.ParseProxies(written.Trusted); err != nil {
				return err
			}
			return run(c.Context(), t, o.over(written, c.Flags().Changed))
		},
	}
	c.Flags().StringVar(&o.listen, "listen", ":8443", "address and port")
	c.Flags().StringArrayVar(&o.names, "name", nil, "name or address by which clients reach the site, besides the machine's own addresses; may be repeated")
	c.Flags().StringVar(&o.cache, "cache-listen", "", "address and port of the cache (default: no cache)")
	c.Flags().StringVar(&o.size, "cache-size", "", "above this size, evict what was fetched for others and is least recently used: 50GiB (default: no limit)")
	c.Flags().StringVar(&o.writes, "cache-writes", "certificate", "who may write to the network cache: certificate (by netcache/policy.json, over HTTPS) or open")
	c.Flags().BoolVar(&o.offline, "cache-offline", false, "in this run ask neither origins nor upstream sites: answer from what is here")
	c.Flags().StringArrayVar(&o.origins, "cache-upstream", nil, "PROTOCOL=URL: fetch from there instead of where this machine's tools do; may be repeated; apt also takes a line of sources.list")
	c.Flags().StringArrayVar(&o.upstreams, "upstream", nil, "URL of a site, as nodes are given it, to ask for what is not here; may be repeated, the nearest first")
	c.Flags().StringVar(&o.root, "root", "", "fingerprint of the root of trust whose metadata is fetched from --upstream; needed once")
	return c
}

// over returns o with what site.yaml says where no flag was given; given reports that of a flag. Of
// --cache-upstream each protocol counts by itself.
func (o runOptions) over(written site.Settings, given func(flag string) bool) runOptions {
	take := func(flag, value string, to *string) {
		if value != "" && !given(flag) {
			*to = value
		}
	}
	take("listen", written.Listen, &o.listen)
	take("cache-listen", written.Cache.Listen, &o.cache)
	take("cache-size", written.Cache.Size, &o.size)
	take("cache-writes", written.Cache.Writes, &o.writes)
	take("root", written.Root, &o.root)
	if !given("upstream") {
		o.upstreams = written.Upstreams
	}
	if !given("name") {
		o.names = written.Names
	}
	flags := o.origins
	for name, list := range written.Cache.Upstreams {
		if slices.ContainsFunc(flags, func(s string) bool { return strings.HasPrefix(s, name+"=") }) {
			continue
		}
		for _, u := range list {
			o.origins = append(o.origins, name+"="+u)
		}
	}
	o.conns, o.images = written.Conns, written.Registry.Options(o.dir)
	return o
}

func runSite(ctx context.Context, t *term.Term, o runOptions) error {
	limit, err := verb.ParseSize(o.size)
	if err != nil {
		return err
	}
	if o.writes != site.WritesOpen && o.writes != site.WritesByCertificate {
		return errs.Hint(verb.Usage("cache-writes %q", o.writes), "certificate or open")
	}
	upstreams := map[string][]string{}
	for _, s := range o.origins {
		name, u, ok := strings.Cut(s, "=")
		if !ok || name == "" || u == "" {
			return errs.Hint(verb.Usage("upstream %q", httpx.RedactedText(s)), "write it like go=https://10.0.0.1:3000")
		}
		upstreams[name] = append(upstreams[name], u)
	}
	if o.root != "" && len(o.upstreams) == 0 {
		return errs.Hint(verb.Usage("--root without --upstream"), "name the site that has its metadata: --upstream URL")
	}
	root, err := verb.ParseRoot(o.root)
	if err != nil {
		return err
	}
	if o.cache == "" && len(o.upstreams) == 0 && (o.size != "" || o.offline || len(o.origins) > 0 || o.writes == site.WritesOpen) {
		return errs.Hint(verb.Usage("there are flags for a cache, but no cache"), "say where it listens: --cache-listen 10.0.0.1:3142")
	}
	level := slog.LevelInfo
	if t.Quiet {
		level = slog.LevelError
	}
	s, made, err := site.Open(o.dir)
	if err != nil {
		return err
	}
	if made {
		t.Note("a new site: %s", o.dir)
	}
	return s.Run(ctx, site.Options{
		Listen: o.listen,
		Names:  o.names, Conns: o.conns, Trusted: o.proxies,
		Upstreams: o.upstreams, Root: root, Images: o.images,
		Log: slog.New(slog.NewTextHandler(t.Stderr, &slog.HandlerOptions{Level: level})),
		Cache: site.CacheOptions{
			Listen: o.cache, Limit: limit, Offline: o.offline, Upstreams: upstreams, Writes: o.writes == site.WritesOpen,
			Ready: func(addr string) { t.Note("cache: overland cache env http://%s", addr) },
		},
		Ready: func(addr string) {
			urls, err := s.URLs(addr)
			if err != nil {
				urls = []string{s.URL(addr)}
			}
			for _, u := range urls {
				t.Printf("%s\n", u)
			}
		},
	})
}

// certificateOptions are the settings of site certificate.
type certificateOptions struct{ dir, listen string }

func certificateVerb(t *term.Term, run verb.Run[certificateOptions]) *cobra.Command {
	var o certificateOptions
	c := &cobra.Command{
		Use:   "certificate DIR",
		Short: "Print the certificate that ordinary TLS clients are given",
		Long: "Prints the certificate of the site in DIR, in PEM, for clients that do not know the site by its pin: curl --cacert,\n" +
			"SSL_CERT_FILE, a language's own option. It is for the names in site.yaml, the machine's addresses and localhost,\n" +
			"and nothing else: a client that has it trusts no other site for that. It is made again, with the same key, when the\n" +
			"machine gets another address; print it again then. Nodes need nothing of this.",
		Example: "overland site certificate site",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.dir = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.listen, "listen", "", "address and port that the site listens on (default: what site.yaml says)")
	return c
}

func runCertificate(_ context.Context, t *term.Term, o certificateOptions) error {
	text, err := site.Certificate(o.dir, o.listen)
	if err != nil {
		return err
	}
	return t.Raw(text)
}
