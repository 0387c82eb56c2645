package cli

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

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
			a.note("next: overland --home %s trust init; overland site run %s", args[0], args[0])
			return nil
		},
	}
}

func (a *app) siteRun() *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:   "run DIR",
		Short: "Serve a site directory over HTTPS",
		Long: "Serves DIR until it is interrupted, and prints the URLs that nodes are given: they hold the site's pin, so a\n" +
			"bare IP address works, and no name service is needed.",
		Example: "overland site run site --listen 127.0.0.1:0",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.runSite(c.Context(), args[0], listen) },
	}
	c.Flags().StringVar(&listen, "listen", ":8443", "address and port")
	return c
}

func (a *app) runSite(ctx context.Context, dir, listen string) error {
	level := slog.LevelInfo
	if a.quiet {
		level = slog.LevelError
	}
	info, err := site.Init(dir)
	if err != nil {
		return err
	}
	return site.Run(ctx, dir, site.Options{
		Listen: listen,
		Log:    slog.New(slog.NewTextHandler(a.Stderr, &slog.HandlerOptions{Level: level})),
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
