package release

import (
	"context"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/operator"
	rel "overland/internal/release"
	"overland/internal/sbom"
)

// sbomOptions are the settings of sbom.
type sbomOptions struct {
	release   string
	artifact  string
	platforms []string
	format    string
	out       string
}

func bill(t *term.Term, run verb.Run[sbomOptions]) *cobra.Command {
	var o sbomOptions
	c := &cobra.Command{
		Use:   "sbom RELEASE",
		Short: "List what a release is made of, as CycloneDX or SPDX",
		Long: "Writes a software bill of materials of a signed release: the Go modules in its programs, and the Debian and Alpine\n" +
			"packages in its root file systems and images, each with a package URL. It is read out of what was built, not out of\n" +
			"a lock, and is the same bytes each time. Programs in other languages are listed without parts.",
		Example: "overland sbom wallet@r412.abcdef012345\n" +
			"overland sbom wallet@r412.abcdef012345 --format spdx -o wallet.spdx.json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: sitedir.Complete(t, 1, sitedir.Releases),
		RunE: func(c *cobra.Command, args []string) error {
			o.release = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.artifact, "artifact", "", "of this artifact alone")
	verb.PlatformFlag(c, &o.platforms)
	c.Flags().StringVar(&o.format, "format", "cyclonedx", "cyclonedx (1.6) or spdx (2.3), both in JSON")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"cyclonedx", "spdx"}, cobra.ShellCompDirectiveNoFileComp))
	c.Flags().StringVarP(&o.out, "out", "o", "", "write it into this FILE")
	return c
}

func runSBOM(ctx context.Context, t *term.Term, o sbomOptions) error {
	at := slices.IndexFunc(sbom.Formats(), func(f sbom.Format) bool { return f.Name == o.format })
	if at < 0 {
		return errs.Hint(verb.Usage("--format %.40q", o.format), "cyclonedx, or spdx")
	}
	ref, err := rel.ParseRef(o.release)
	if err != nil {
		return err
	}
	platforms, err := verb.ParsePlatforms(o.platforms)
	if err != nil {
		return err
	}
	doc, err := sitedir.Call(t, func(p *operator.Operator) (*sbom.Document, error) {
		return p.SBOM(ctx, ref, sbom.Options{Artifact: o.artifact, Platforms: platforms})
	})
	if err != nil {
		return err
	}
	write := sbom.Formats()[at].Write
	if o.out == "" {
		return write(doc, t.Stdout)
	}
	const mode = 0o644
	return fsx.FS{}.WriteWith(o.out, mode, func(w io.Writer) error { return write(doc, w) })
}
