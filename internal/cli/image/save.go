package image

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/operator"
	"overland/internal/release"
)

// saveOptions are the settings of image save.
type saveOptions struct {
	release   string
	image     string
	platforms []string
	format    string // forDocker or forOCI
	out       string
}

// What a saved image is for.
const (
	forDocker = "docker"
	forOCI    = "oci"
)

func save(t *term.Term, run verb.Run[saveOptions]) *cobra.Command {
	var o saveOptions
	c := &cobra.Command{
		Use:   "save RELEASE",
		Short: "Write an image of a release into a file",
		Long: "Writes an image of a signed release, called NAME:VERSION in it. The file for docker holds one platform, and docker\n" +
			"load, podman load, ctr images import and skopeo (docker-archive: and oci-archive:) take it. The one for oci is an\n" +
			"OCI archive with an index of all platforms, or of those that --platform names. Equal images give equal bytes.",
		Example: "overland image save wallet@r412.abcdef012345 --platform linux/arm/v6 -o wallet.tar\n" +
			"overland image save wallet@r412.abcdef012345 --for oci -o wallet.oci.tar",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: sitedir.Complete(t, 1, sitedir.Releases),
		RunE: func(c *cobra.Command, args []string) error {
			o.release = args[0]
			return run(c.Context(), t, o)
		},
	}
	imageFlags(c, &o.image, &o.platforms)
	c.Flags().StringVar(&o.format, "for", forDocker, "docker: one platform, for docker load and all others; oci: an OCI archive of several")
	_ = c.RegisterFlagCompletionFunc("for", cobra.FixedCompletions([]string{forDocker, forOCI}, cobra.ShellCompDirectiveNoFileComp))
	c.Flags().StringVarP(&o.out, "out", "o", "", "the FILE to write; - is stdout")
	return c
}

// imageFlags adds the flags that choose an image of a release.
func imageFlags(c *cobra.Command, image *string, platforms *[]string) {
	c.Flags().StringVar(image, "image", "", "the artifact, when the release has several images")
	verb.PlatformFlag(c, platforms)
}

// chosen returns which image is meant.
func chosen(ref, image string, platforms []string) (o operator.ImageOptions, err error) {
	o.Image = image
	if o.Ref, err = release.ParseRef(ref); err != nil {
		return o, err
	}
	o.Platforms, err = verb.ParsePlatforms(platforms)
	return o, err
}

func runSave(ctx context.Context, t *term.Term, o saveOptions) error {
	if o.format != forDocker && o.format != forOCI {
		return errs.Hint(verb.Usage("--for %.40q", o.format), "docker, or oci")
	}
	if o.out == "" {
		return errs.Hint(verb.Usage("where should the image be written?"), "-o FILE")
	}
	which, err := chosen(o.release, o.image, o.platforms)
	if err != nil {
		return err
	}
	_, err = sitedir.Call(t, func(p *operator.Operator) (struct{}, error) {
		write := func(w io.Writer) error { return p.SaveImage(ctx, which, o.format == forOCI, w) }
		if o.out == "-" {
			return struct{}{}, write(t.Stdout)
		}
		const mode = 0o644
		return struct{}{}, fsx.FS{}.WriteWith(o.out, mode, write)
	})
	if err != nil || o.out == "-" {
		return err
	}
	if info, err := os.Stat(o.out); err == nil {
		t.Note("%s: %d bytes", o.out, info.Size())
	}
	return nil
}
