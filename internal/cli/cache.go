package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"overland/internal/cache"
	"overland/internal/errs"
	"overland/internal/site"
)

func (a *app) cache() *cobra.Command {
	return group("cache", "Point machines at a site's cache, freeze it, take it offline",
		a.cacheEnv(), a.cacheFreeze(), a.cacheThaw(), a.cacheFreezes(), a.cacheOffline())
}

func (a *app) cacheEnv() *cobra.Command {
	var freeze string
	c := &cobra.Command{
		Use:   "env URL",
		Short: "Print how to point a machine at a cache",
		Long: "Prints one command for each tool that the cache at URL serves; run them on the machine that is to use it. With\n" +
			"--freeze they point at the state that `overland cache freeze` gave a name.",
		Example: "overland cache env http://10.0.0.1:3142\noverland cache env http://10.0.0.1:3142 --freeze tuesday",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			lines, err := site.CacheEnv(args[0], freeze)
			for _, l := range lines {
				a.printf("%s\n", l)
			}
			return err
		},
	}
	c.Flags().StringVar(&freeze, "freeze", "", "the name of a freeze")
	return c
}

func (a *app) cacheFreeze() *cobra.Command {
	var at string
	c := &cobra.Command{
		Use:   "freeze NAME",
		Short: "Give the cache's state at a moment a name",
		Long: "Makes NAME stand for what every index was in the cache of the site directory (--home) at a moment: now, or --at.\n" +
			"Machines that are pointed at it (`overland cache env URL --freeze NAME`) install the same on any day. What they\n" +
			"fetch through it is never evicted. A freeze of now takes what the cache does not have yet from its origin when\n" +
			"first asked for; one of an earlier moment knows only what was asked for before.",
		Example: "overland cache freeze release-1\noverland cache freeze tuesday --at 2026-01-06T12:00:00Z",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			moment, err := parseMoment(at)
			if err != nil {
				return err
			}
			return a.withCache(c.Context(), site.OpenCache, func(k *site.Cache) error {
				f, err := k.Freeze(c.Context(), args[0], moment)
				if err == nil {
					a.printf("%s\n", describe(f))
				}
				return err
			})
		},
	}
	c.Flags().StringVar(&at, "at", "", "the moment: 2026-01-06T12:00:00Z, or 2026-01-06 for its end; now without it")
	return c
}

// parseMoment reads a time, or a day in UTC, of which it is the end. "" is the zero time.
func parseMoment(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.AddDate(0, 0, 1).Add(-time.Millisecond), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, errs.Hint(usage("moment %q", s), "write it like 2026-01-06T12:00:00Z or 2026-01-06")
	}
	return t, nil
}

func describe(f cache.Freeze) string { return f.Name + "  " + f.At.UTC().Format(time.RFC3339) }

func (a *app) cacheThaw() *cobra.Command {
	return &cobra.Command{
		Use:     "thaw NAME",
		Short:   "Remove a freeze",
		Long:    "Removes the freeze NAME: machines that are pointed at it get nothing more, and what it kept may be evicted.",
		Example: "overland cache thaw tuesday",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withCache(c.Context(), site.LookCache, func(k *site.Cache) error { return k.Thaw(c.Context(), args[0]) })
		},
	}
}

// freezeJSON is one freeze in the result of cache freezes --json.
type freezeJSON struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
	// Emptied says that the cache's folder was removed after the freeze was made: it answers "not found" for every list.
	Emptied bool `json:"emptied,omitempty"`
}

func (a *app) cacheFreezes() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "freezes",
		Short: "List the freezes",
		Long: "Prints each freeze of the cache of the site directory (--home) with its moment. One that was made before the folder\n" +
			"cache/ was removed is called emptied: it answers for what never changes, and for no list.",
		Example: "overland cache freezes\noverland cache freezes --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withCache(c.Context(), site.LookCache, func(k *site.Cache) error {
				list, err := k.Freezes(c.Context())
				if err != nil || !asJSON {
					for _, f := range list {
						a.printf("%s%s\n", describe(f), map[bool]string{true: "  emptied: cache/ was removed after it was made"}[k.Emptied(f)])
					}
					return err
				}
				out := []freezeJSON{}
				for _, f := range list {
					out = append(out, freezeJSON{f.Name, f.At.UTC(), k.Emptied(f)})
				}
				return a.printJSON(out)
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// offlineJSON is the result of cache offline --json.
type offlineJSON struct {
	Offline bool `json:"offline"`
}

func (a *app) cacheOffline() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "offline [on|off]",
		Short: "Say whether the site may ask others",
		Long: "With `on` the site in the site directory (--home) answers from what it holds, however old, and asks neither origins\n" +
			"nor upstream sites; with `off` it does again. A running site obeys at once, and remembers it. Without an argument\n" +
			"it prints which it is.",
		Example: "overland cache offline on\noverland cache offline off\noverland cache offline\noverland cache offline --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return a.withCache(c.Context(), site.LookCache, func(k *site.Cache) error { return a.printOffline(c.Context(), k, asJSON) })
			case args[0] != "on" && args[0] != "off":
				return errs.Hint(usage("offline %q", args[0]), "on or off")
			}
			return a.withCache(c.Context(), site.OpenCache, func(k *site.Cache) error { return k.SetOffline(c.Context(), args[0] == "on") })
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) printOffline(ctx context.Context, k *site.Cache, asJSON bool) error {
	on, err := k.Offline(ctx)
	switch {
	case err != nil:
		return err
	case asJSON:
		return a.printJSON(offlineJSON{on})
	}
	a.printf("%s\n", map[bool]string{true: "on", false: "off"}[on])
	return nil
}

// withCache opens the cache of the site directory by open, for do.
func (a *app) withCache(ctx context.Context, open func(context.Context, string) (*site.Cache, error), do func(*site.Cache) error) error {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	k, err := open(ctx, dir)
	if err != nil {
		return err
	}
	return errors.Join(do(k), k.Close())
}
