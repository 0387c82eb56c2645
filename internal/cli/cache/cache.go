package cache

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"overland/internal/cache"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	cacheserver "overland/internal/server/cache"
	registryface "overland/internal/server/registry"
	"overland/internal/site"
)

// envOptions are the settings of cache env.
type envOptions struct {
	url    string
	freeze string // name; "" = the present

	program    string   // for images; "" = the package tools
	registries []string // of program
}

func env(t *term.Term, run verb.Run[envOptions]) *cobra.Command {
	var o envOptions
	c := &cobra.Command{
		Use:   "env URL",
		Short: "Print how to point a machine at a cache",
		Long: "Prints one command for each tool that the cache at URL serves; run them on the machine that is to use it. With\n" +
			"--freeze they point at the state that `overland cache freeze` gave a name. With --for it prints the file with which\n" +
			"docker, containerd, podman or k3s pulls images of other registries through the site at URL, and says where it goes;\n" +
			"which registries those are, site.yaml says (mirrors).",
		Example: "overland cache env http://10.0.0.1:3142\noverland cache env http://10.0.0.1:3142 --freeze tuesday\n" +
			"overland cache env https://10.0.0.1:8443 --for docker\n" +
			"overland cache env https://10.0.0.1:8443 --for podman --registry hub.example",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.url = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.freeze, "freeze", "", "the name of a freeze")
	c.Flags().StringVar(&o.program, "for", "", "the program that pulls images: docker, containerd, podman or k3s")
	_ = c.RegisterFlagCompletionFunc("for", cobra.FixedCompletions(registryface.Programs(), cobra.ShellCompDirectiveNoFileComp))
	c.Flags().StringArrayVar(&o.registries, "registry", nil, "a registry that is mirrored, as its images are called; may be repeated; podman needs it")
	return c
}

func runEnv(_ context.Context, t *term.Term, o envOptions) error {
	switch {
	case o.program != "" && o.freeze != "":
		return errs.Hint(verb.Usage("--freeze with --for"), "images have no freezes: pull them by their digests")
	case o.program == "" && len(o.registries) > 0:
		return errs.Hint(verb.Usage("--registry without --for"), "--for docker, containerd, podman or k3s")
	case o.program != "":
		return point(t, o)
	}
	lines, err := cacheserver.Lines(o.url, o.freeze)
	for _, l := range lines {
		t.Printf("%s\n", l)
	}
	return err
}

// point prints the file for o.program, and beside it what to do with that.
func point(t *term.Term, o envOptions) error {
	p, err := registryface.Point(o.program, o.url, o.registries)
	if err != nil {
		return err
	}
	t.Print(p.Text)
	t.Note("it goes to %s", p.Path)
	if p.Certificate != "" {
		t.Note("the site's certificate, which overland site certificate prints, goes to %s", p.Certificate)
	}
	if p.More != "" {
		t.Note("%s", p.More)
	}
	return nil
}

// freezeOptions are the settings of cache freeze and cache thaw.
type freezeOptions struct {
	name string
	at   string // the moment; "" = now
}

func freeze(t *term.Term, run verb.Run[freezeOptions]) *cobra.Command {
	var o freezeOptions
	c := &cobra.Command{
		Use:   "freeze NAME",
		Short: "Name the cache's state at a moment",
		Long: "Makes NAME stand for the state of every index in the cache of the site directory (--home) at a moment: now, or\n" +
			"--at. Machines that are pointed at it (`overland cache env URL --freeze NAME`) install the same on any day, and\n" +
			"what they fetch through it is never evicted. What a freeze of now does not have yet, the cache fetches from its\n" +
			"origin on first use; a freeze of an earlier moment has only what was fetched before.",
		Example: "overland cache freeze release-1\noverland cache freeze tuesday --at 2026-01-06T12:00:00Z",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.name = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.at, "at", "", "the moment: 2026-01-06T12:00:00Z, or 2026-01-06 for the end of that day (default: now)")
	return c
}

func runFreeze(ctx context.Context, t *term.Term, o freezeOptions) error {
	moment, err := parseMoment(o.at)
	if err != nil {
		return err
	}
	return withCache(ctx, t, site.OpenCache, func(k *site.Cache) error {
		f, err := k.Freeze(ctx, o.name, moment)
		if err == nil {
			t.Printf("%s\n", describe(f))
		}
		return err
	})
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
		return t, errs.Hint(verb.Usage("moment %q", s), "write it like 2026-01-06T12:00:00Z or 2026-01-06")
	}
	return t, nil
}

func describe(f cache.Freeze) string { return f.Name + "  " + f.At.UTC().Format(time.RFC3339) }

func thaw(t *term.Term, run verb.Run[freezeOptions]) *cobra.Command {
	return &cobra.Command{
		Use:     "thaw NAME",
		Short:   "Remove a freeze",
		Long:    "Removes the freeze NAME: machines that are pointed at it get nothing more, and what it kept may be evicted.",
		Example: "overland cache thaw tuesday",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return run(c.Context(), t, freezeOptions{name: args[0]})
		},
	}
}

func runThaw(ctx context.Context, t *term.Term, o freezeOptions) error {
	return withCache(ctx, t, site.LookCache, func(k *site.Cache) error { return k.Thaw(ctx, o.name) })
}

// freezeJSON is one freeze in the result of cache freezes --json.
type freezeJSON struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
	// Emptied says that the cache's folder was removed after the freeze was made: it
	// answers "not found" for every list.
	Emptied bool `json:"emptied,omitempty"`
}

// freezesOptions are the settings of cache freezes.
type freezesOptions struct{ json bool }

func freezes(t *term.Term, run verb.Run[freezesOptions]) *cobra.Command {
	var o freezesOptions
	c := &cobra.Command{
		Use:   "freezes",
		Short: "List the freezes",
		Long: "Prints each freeze of the cache of the site directory (--home) with its moment. A freeze that was made before the\n" +
			"folder cache/ was removed is called emptied: it has what never changes, and no list.",
		Example: "overland cache freezes\noverland cache freezes --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), t, o) },
	}
	verb.JSONFlag(c, &o.json)
	return c
}

func runFreezes(ctx context.Context, t *term.Term, o freezesOptions) error {
	return withCache(ctx, t, site.LookCache, func(k *site.Cache) error {
		list, err := k.Freezes(ctx)
		if err != nil {
			return err
		}
		if !o.json {
			for _, f := range list {
				t.Printf("%s%s\n", describe(f), map[bool]string{true: "  emptied: cache/ was removed after it was made"}[k.Emptied(f)])
			}
			return nil
		}
		out := []freezeJSON{}
		for _, f := range list {
			out = append(out, freezeJSON{f.Name, f.At.UTC(), k.Emptied(f)})
		}
		return t.JSON(out)
	})
}

// offlineJSON is the result of cache offline --json.
type offlineJSON struct {
	Offline bool `json:"offline"`
}

// offlineOptions are the settings of cache offline.
type offlineOptions struct {
	set  string // "on", "off", or "" to ask
	json bool
}

func offline(t *term.Term, run verb.Run[offlineOptions]) *cobra.Command {
	var o offlineOptions
	c := &cobra.Command{
		Use:   "offline [on|off]",
		Short: "Say whether the site may ask others",
		Long: "After `on` the site in the site directory (--home) answers from what it holds, however old, and asks neither origins\n" +
			"nor upstream sites; after `off` it asks them again. A running site obeys at once, and the setting stays. Without an\n" +
			"argument the present setting is printed.",
		Example: "overland cache offline on\noverland cache offline off\noverland cache offline\noverland cache offline --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.set = verb.First(args, "")
			return run(c.Context(), t, o)
		},
	}
	verb.JSONFlag(c, &o.json)
	return c
}

func runOffline(ctx context.Context, t *term.Term, o offlineOptions) error {
	switch o.set {
	case "":
		return withCache(ctx, t, site.LookCache, func(k *site.Cache) error { return printOffline(ctx, t, k, o.json) })
	case "on", "off":
		return withCache(ctx, t, site.OpenCache, func(k *site.Cache) error { return k.SetOffline(ctx, o.set == "on") })
	}
	return errs.Hint(verb.Usage("offline %q", o.set), "on or off")
}

func printOffline(ctx context.Context, t *term.Term, k *site.Cache, asJSON bool) error {
	on, err := k.Offline(ctx)
	switch {
	case err != nil:
		return err
	case asJSON:
		return t.JSON(offlineJSON{on})
	}
	t.Printf("%s\n", map[bool]string{true: "on", false: "off"}[on])
	return nil
}

// withCache opens the cache of the site directory by open, for do.
func withCache(ctx context.Context, t *term.Term, open func(context.Context, string) (*site.Cache, error), do func(*site.Cache) error) error {
	dir, err := t.SiteDir()
	if err != nil {
		return err
	}
	k, err := open(ctx, dir)
	if err != nil {
		return err
	}
	return errors.Join(do(k), k.Close())
}
