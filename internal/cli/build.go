package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"overland/internal/digest"
	"overland/internal/operator"
	"overland/internal/platform"
	"overland/internal/progress"
)

type buildOptions struct {
	source    operator.SourceOptions
	platforms []string
	out       string
	rebuild   bool
	netcache  string
	json      bool
}

func (a *app) build() *cobra.Command {
	var o buildOptions
	c := &cobra.Command{
		Use:   "build [SOURCE]",
		Short: "Build a commit for its platforms",
		Long: "Builds a clean checkout of HEAD, or of --rev, in SOURCE (default: the current folder) with the toolchain that\n" +
			"the commit asks for. The same commit gives the same bytes everywhere. Results stay in the depot; --out DIR\n" +
			"copies them to DIR/PLATFORM/NAME, --out oci:DIR into an OCI image layout. What was built before is not built\n" +
			"again, unless --rebuild asks for proof that it comes out the same; within overland record and replay it always is.\n" +
			"With a network cache, what a machine of the same kind has built and signed is taken from there in place of building.",
		Example: "overland build\noverland build --rev HEAD --platform linux/amd64 --out dist\noverland build --out oci:layout --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.source.Dir = first(args, "")
			return a.runBuild(c.Context(), o)
		},
	}
	sourceFlags(c, &o.source)
	platformFlag(c, &o.platforms)
	c.Flags().StringVarP(&o.out, "out", "o", "", "copy the results to DIR, or to the image layout oci:DIR")
	c.Flags().BoolVar(&o.rebuild, "rebuild", false, "build again what was built before, and fail when it comes out otherwise")
	c.Flags().StringVar(&o.netcache, "network-cache", "", "share results over the binary cache of FILE's section [networkcache]; none = over none\n(default: networkcache.cfg in the site directory, when it is there)")
	jsonFlag(c, &o.json)
	return c
}

// builtJSON is the result of build --json.
type builtJSON struct {
	App       string        `json:"app"`
	Version   string        `json:"version"`
	Commit    string        `json:"commit"`
	Committed time.Time     `json:"committed"`
	Programs  []programJSON `json:"programs"`
}

type programJSON struct {
	Name      string            `json:"name"`
	Platform  platform.Platform `json:"platform"`
	Digest    digest.Digest     `json:"digest"`
	Size      int64             `json:"size"`
	Toolchain string            `json:"toolchain"`
	Cached    bool              `json:"cached"`
	Shared    bool              `json:"shared,omitempty"` // taken from the network cache
	Path      string            `json:"path,omitempty"`   // with --out DIR
}

func (a *app) runBuild(ctx context.Context, o buildOptions) error {
	platforms, err := parsePlatforms(o.platforms)
	if err != nil {
		return err
	}
	var paths []string
	b, err := callFirst(a, func(p *operator.Pipeline) (*operator.Built, error) {
		b, err := p.Build(ctx, operator.BuildOptions{Source: o.source, Platforms: platforms, Rebuild: o.rebuild, NetworkCache: o.netcache})
		if err != nil {
			return nil, err
		}
		if layout, ok := strings.CutPrefix(o.out, "oci:"); ok {
			err = p.ExportOCI(ctx, b, layout)
		} else if o.out != "" {
			paths, err = p.ExportDir(ctx, b, o.out)
		}
		return b, err
	})
	if err != nil {
		return err
	}
	a.warn(b.Source.Warnings...)
	return a.printBuilt(b, paths, o.json)
}

func (a *app) printBuilt(b *operator.Built, paths []string, asJSON bool) error {
	out := builtJSON{App: b.Ref.App, Version: b.Ref.Version, Commit: b.Source.Commit.Hash, Committed: b.Source.Commit.Time}
	var rows [][]string
	for i, r := range b.Programs {
		j := programJSON{
			Name: r.Name, Platform: r.Platform, Digest: r.Digest, Size: r.Size, Toolchain: r.Toolchain, Cached: r.Cached, Shared: r.Shared,
		}
		if i < len(paths) {
			j.Path = paths[i]
		}
		out.Programs = append(out.Programs, j)
		rows = append(rows, []string{r.Name, string(r.Platform), progress.Bytes(r.Size), r.Toolchain, string(r.Digest)})
	}
	if asJSON {
		return a.printJSON(out)
	}
	a.printf("%s\n", b.Ref)
	a.table("", "ARTIFACT PLATFORM SIZE TOOLCHAIN DIGEST", rows)
	a.note("built in %s", progress.Duration(b.Took))
	return nil
}
