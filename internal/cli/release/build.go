package release

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"overland/internal/builder/image"
	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/confine/cell"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/platform"
	"overland/internal/progress"
)

type buildOptions struct {
	source    operator.SourceOptions
	platforms []string
	only      bool
	args      []string // NAME=VALUE
	bases     []string
	out       string
	rebuild   bool
	jobs      int
	netcache  string
	json      bool
}

func build(t *term.Term, run verb.Run[buildOptions]) *cobra.Command {
	var o buildOptions
	c := &cobra.Command{
		Use:   "build [SOURCE]",
		Short: "Build a commit for its platforms",
		Long: "Builds a clean checkout of HEAD, or of --rev, in SOURCE (default: the current folder) with the toolchain that\n" +
			"the commit asks for. The same commit gives the same bytes everywhere. Results stay in the depot; --out DIR\n" +
			"copies them to DIR/PLATFORM/NAME, --out oci:DIR into an OCI image layout. A result that is in the depot is not\n" +
			"built again, except with --rebuild, which proves that it comes out the same, and within overland record and\n" +
			"replay. With a network cache, a result that a machine of the same kind built and signed is downloaded instead.\n" +
			"--arg and --base change images for this build alone: a release is what the commit says.",
		Example: "overland build\noverland build --base scratch --arg NETWORK=test --out dist\noverland build --rev HEAD --platform linux/amd64 --out dist\noverland build --out oci:layout --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.source.Dir = verb.First(args, "")
			return run(c.Context(), t, o)
		},
	}
	verb.SourceFlags(c, &o.source)
	verb.PlatformFlag(c, &o.platforms)
	c.Flags().BoolVar(&o.only, "as-released", false, "call it as seal --platform does: for open, which compares")
	_ = c.Flags().MarkHidden("as-released") // it is there
	c.Flags().StringArrayVar(&o.args, "arg", nil, "NAME=VALUE in place of a default in args of images; may be repeated")
	c.Flags().StringSliceVar(&o.bases, "base", nil, "the artifact on which images stand, or scratch for nothing; of several each image is made on each, as NAME-BASE")
	c.Flags().StringVarP(&o.out, "out", "o", "", "copy the results to DIR, or to the image layout oci:DIR")
	c.Flags().BoolVar(&o.rebuild, "rebuild", false, "build again, from nothing, what was built before; when it differs, fail and name the first file")
	verb.JobsFlag(c, &o.jobs)
	c.Flags().StringVar(&o.netcache, "network-cache", "", "share results through the binary cache in the section [networkcache] of FILE; \"none\" shares nothing\n(default: networkcache.cfg in the site directory, if it exists)")
	verb.JSONFlag(c, &o.json)
	return c
}

// Built is the result of build --json.
type Built struct {
	App       string    `json:"app"`
	Version   string    `json:"version"`
	Commit    string    `json:"commit"`
	Committed time.Time `json:"committed"`
	Programs  []Program `json:"programs"`
}

// Program is one artifact for one platform.
type Program struct {
	Name      string            `json:"name"`
	Platform  platform.Platform `json:"platform"`
	Digest    digest.Digest     `json:"digest"`
	Size      int64             `json:"size"`
	Toolchain string            `json:"toolchain"`
	Cached    bool              `json:"cached"`
	Shared    bool              `json:"shared,omitempty"`    // taken from the network cache
	Isolation cell.Isolation    `json:"isolation,omitempty"` // of its build from this machine
	Path      string            `json:"path,omitempty"`      // with --out DIR
}

func runBuild(ctx context.Context, t *term.Term, o buildOptions) error {
	platforms, err := verb.ParsePlatforms(o.platforms)
	if err != nil {
		return err
	}
	given := image.Given{Base: o.bases, Args: map[string]string{}}
	for _, arg := range o.args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return errs.Hint(verb.Usage("--arg %q: no value", arg), "write it like --arg NETWORK=test")
		}
		given.Args[name] = value
	}
	var paths []string
	b, err := sitedir.First(t, func(p *operator.Operator) (*operator.Built, error) {
		b, err := p.Build(ctx, operator.BuildOptions{Source: o.source, Platforms: platforms, Only: o.only, Images: given, Rebuild: o.rebuild, Parallel: o.jobs, NetworkCache: o.netcache})
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
	return printBuilt(t, b, paths, o.json)
}

func printBuilt(t *term.Term, b *operator.Built, paths []string, asJSON bool) error {
	out := Built{App: b.Ref.App, Version: b.Ref.Version, Commit: b.Source.Commit.Hash, Committed: b.Source.Commit.Time}
	var rows [][]string
	for i, r := range b.Programs {
		j := Program{
			Name: r.Name, Platform: r.Platform, Digest: r.Digest, Size: r.Whole(), Toolchain: r.Toolchain, Cached: r.Cached, Shared: r.Shared, Isolation: r.Isolation,
		}
		if i < len(paths) {
			j.Path = paths[i]
		}
		out.Programs = append(out.Programs, j)
		rows = append(rows, []string{r.Name, string(r.Platform), progress.Bytes(r.Whole()), r.Toolchain, string(r.Digest)})
	}
	if asJSON {
		return t.JSON(out)
	}
	t.Printf("%s\n", b.Ref)
	t.Table("", "ARTIFACT PLATFORM SIZE TOOLCHAIN DIGEST", rows)
	t.Note("built in %s", progress.Duration(b.Took))
	return nil
}
