package cli

import (
	"context"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/errs"
	"overland/internal/site"
)

func (a *app) site() *cobra.Command {
	return group("site", "Serve releases and metadata to nodes", a.siteInit(), a.siteRun())
}

func (a *app) siteInit() *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "Make a site directory and its certificate",
		Long: "Makes DIR a site directory with a certificate of its own, or completes it, and prints the pin by which nodes\n" +
			"know the site. Doing it again changes nothing.",
		Example: "overland site init site",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			info, err := site.Init(args[0])
			if err != nil {
				return err
			}
			a.printf("%s\n", info.Pin)
			if info.Signs {
				a.note("next: overland site run %s", args[0])
				return nil
			}
			a.note("next: overland --home %s trust init; overland site run %s\n"+
				"or, as a near copy of another site: overland site run %s --upstream URL --root FINGERPRINT", args[0], args[0], args[0])
			return nil
		},
	}
}

type siteOptions struct {
	listen    string
	cache     string
	size      string
	writes    string
	offline   bool
	origins   []string
	upstreams []string
	root      string
}

func (a *app) siteRun() *cobra.Command {
	var o siteOptions
	c := &cobra.Command{
		Use:   "run DIR",
		Short: "Serve a site directory over HTTPS",
		Long: "Serves DIR until it is interrupted, and prints the URLs that nodes are given: they hold the site's pin, so a bare\n" +
			"IP address works, and no name service is needed. A DIR that is missing or empty is made a site first. With\n" +
			"--cache-listen it also is a cache of what the tools of other machines fetch, over plain HTTP and without asking\n" +
			"who they are: give it an address that only they reach. `overland cache env` prints how to point a machine at it.\n" +
			"With --upstream it is a near copy of other sites: what it has not it fetches through from them, checks, and keeps.",
		Example: "overland site run site --listen 127.0.0.1:0\n" +
			"overland site run site --listen 127.0.0.1:0 --cache-listen 127.0.0.1:0 --cache-size 50GiB\n" +
			"overland site run copy --listen 127.0.0.1:0 --upstream https://127.0.0.1:8444#sha256:PIN --root FINGERPRINT",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.runSite(c.Context(), args[0], o) },
	}
	c.Flags().StringVar(&o.listen, "listen", ":8443", "address and port")
	c.Flags().StringVar(&o.cache, "cache-listen", "", "address and port of the cache; no cache without it")
	c.Flags().StringVar(&o.size, "cache-size", "", "evict what was fetched for others and not used for longest above this size: 50GiB; no limit without it")
	c.Flags().StringVar(&o.writes, "cache-writes", "certificate", "who may write to the network cache: certificate (by netcache/policy.json, over HTTPS) or open")
	c.Flags().BoolVar(&o.offline, "cache-offline", false, "ask nobody in this run, neither origins nor upstream sites: answer from what is here")
	c.Flags().StringArrayVar(&o.origins, "cache-upstream", nil, "PROTOCOL=URL: fetch from there, and not as this machine's tools do; may be given again; apt also takes a line of a sources.list")
	c.Flags().StringArrayVar(&o.upstreams, "upstream", nil, "URL of a site, as nodes are given it, that is asked for what is not here; may be given again, the nearest first")
	c.Flags().StringVar(&o.root, "root", "", "fingerprint of the root of trust whose metadata is fetched from --upstream; needed once")
	return c
}

func (a *app) runSite(ctx context.Context, dir string, o siteOptions) error {
	limit, err := parseSize(o.size)
	if err != nil {
		return err
	}
	if o.writes != "open" && o.writes != "certificate" {
		return errs.Hint(usage("cache-writes %q", o.writes), "certificate or open")
	}
	upstreams := map[string][]string{}
	for _, s := range o.origins {
		name, u, ok := strings.Cut(s, "=")
		if !ok || name == "" || u == "" {
			return errs.Hint(usage("upstream %q", s), "write it like go=https://10.0.0.1:3000")
		}
		upstreams[name] = append(upstreams[name], u)
	}
	if o.root != "" && len(o.upstreams) == 0 {
		return errs.Hint(usage("--root without --upstream"), "name the site that has its metadata: --upstream URL")
	}
	root, err := parseRoot(o.root)
	if err != nil {
		return err
	}
	if o.cache == "" && len(o.upstreams) == 0 && (o.size != "" || o.offline || len(o.origins) > 0 || o.writes == "open") {
		return errs.Hint(usage("a cache is described, and none is asked for"), "say where it listens: --cache-listen 10.0.0.1:3142")
	}
	level := slog.LevelInfo
	if a.quiet {
		level = slog.LevelError
	}
	info, made, err := site.Open(dir)
	if err != nil {
		return err
	}
	if made {
		a.note("a new site: %s", dir)
	}
	return site.Run(ctx, dir, site.Options{
		Listen:    o.listen,
		Upstreams: o.upstreams, Root: root,
		Log: slog.New(slog.NewTextHandler(a.Stderr, &slog.HandlerOptions{Level: level})),
		Cache: site.CacheOptions{
			Listen: o.cache, Limit: limit, Offline: o.offline, Upstreams: upstreams, Writes: o.writes == "open",
			Ready: func(addr string) { a.note("cache: overland cache env http://%s", addr) },
		},
		Ready: func(addr string) {
			urls, err := info.URLs(addr)
			if err != nil {
				urls = []string{info.URL(addr)}
			}
			for _, u := range urls {
				a.printf("%s\n", u)
			}
		},
	})
}
