package release

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/operator"
	"overland/internal/printer"
	"overland/internal/sbom"
)

// sbomOptions are the settings of sbom.
type sbomOptions struct {
	what      string // a release of the site, or a volume
	root, app string // of a volume
	artifact  string
	platforms []string
	format    string
	out       string
}

func bill(t *term.Term, run verb.Run[sbomOptions]) *cobra.Command {
	var o sbomOptions
	c := &cobra.Command{
		Use:   "sbom RELEASE|FILE",
		Short: "List what a release is made of, as CycloneDX or SPDX",
		Long: "Writes a software bill of materials of a signed RELEASE of the site, or of the one in a volume FILE: the Go modules\n" +
			"in its programs, and the Debian and Alpine packages in its root file systems and images, each with a package URL.\n" +
			"It is read out of what was built, not out of a lock, and is the same bytes each time. Programs in other languages\n" +
			"are listed without parts.",
		Example: "overland sbom wallet@r412.abcdef012345\n" +
			"overland sbom wallet@r412.abcdef012345 --format spdx -o wallet.spdx.json\n" +
			"overland sbom live.volume --root FINGERPRINT",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: sitedir.Complete(t, 1, sitedir.Releases),
		RunE: func(c *cobra.Command, args []string) error {
			o.what = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.root, "root", "", "of a FILE: fingerprint of the root of trust, as overland trust show prints it (default: the file's own)")
	c.Flags().StringVar(&o.app, "app", "", "of a FILE: the application, when it holds several")
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
	platforms, err := verb.ParsePlatforms(o.platforms)
	if err != nil {
		return err
	}
	doc, err := o.document(ctx, t, sbom.Options{Artifact: o.artifact, Platforms: platforms})
	if err != nil {
		return err
	}
	write := sbom.Formats()[at].Write
	if o.out == "" {
		var b strings.Builder
		if err := write(doc, &b); err != nil {
			return err
		}
		_, err := io.WriteString(t.Result(), printer.Text(b.String()))
		return err
	}
	const mode = 0o644
	return fsx.FS{}.WriteWith(o.out, mode, func(w io.Writer) error { return write(doc, w) })
}

// document looks into the release, or the file.
func (o sbomOptions) document(ctx context.Context, t *term.Term, part sbom.Options) (*sbom.Document, error) {
	ref, released, err := sitedir.Which(ctx, t, o.what)
	if err != nil {
		return nil, err
	}
	if !released {
		root, err := verb.ParseRoot(o.root)
		if err != nil {
			return nil, err
		}
		bar := t.Bar()
		defer bar.Close()
		return operator.SBOMFile(ctx, operator.FileOptions{Path: o.what, Root: root, App: o.app, Progress: bar.Show}, part)
	}
	if o.root != "" || o.app != "" {
		return nil, verb.Usage("--root and --app are for files: the site's own metadata says who signed %s", o.what)
	}
	return sitedir.Call(t, func(p *operator.Operator) (*sbom.Document, error) { return p.SBOM(ctx, ref, part) })
}
