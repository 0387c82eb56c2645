package image

import (
	"context"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/fsx"
	"overland/internal/operator"
	"overland/internal/registry/client"
)

// pushOptions are the settings of image push.
type pushOptions struct {
	release   string
	to        string // HOST:PORT/NAME
	image     string
	platforms []string
	bare      bool   // without what explains the image
	ca        string // file
	json      bool
}

func push(t *term.Term, run verb.Run[pushOptions]) *cobra.Command {
	var o pushOptions
	c := &cobra.Command{
		Use:   "push RELEASE HOST:PORT/NAME",
		Short: "Send an image of a release to a registry",
		Long: "Sends an image of a signed release to a registry, a site's or any other: as NAME:VERSION an index of all platforms,\n" +
			"and for each platform NAME:VERSION-arm32v6 and its like, which name that image alone. The index is named last. The\n" +
			"login is what docker login, podman login or a credential helper has for HOST:PORT. What the registry has already is\n" +
			"not sent again; layers go up as they were signed. Beside each image go its SBOM, as CycloneDX and as SPDX, and its\n" +
			"signed provenance, as referrers: cosign verify-attestation --key checks that one (overland provenance).",
		Example: "overland image push wallet@r412.abcdef012345 127.0.0.1:8443/staging/wallet\n" +
			"overland image push wallet@r412.abcdef012345 127.0.0.1:8443/staging/wallet --platform linux/arm/v6 --ca site.pem",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: sitedir.Complete(t, 1, sitedir.Releases),
		RunE: func(c *cobra.Command, args []string) error {
			o.release, o.to = args[0], args[1]
			return run(c.Context(), t, o)
		},
	}
	imageFlags(c, &o.image, &o.platforms)
	c.Flags().BoolVar(&o.bare, "bare", false, "send no SBOM and no provenance beside it")
	c.Flags().StringVar(&o.ca, "ca", "", "file with the registry's certificate in PEM, as overland site certificate prints it")
	verb.JSONFlag(c, &o.json)
	return c
}

func runPush(ctx context.Context, t *term.Term, o pushOptions) error {
	which, err := chosen(o.release, o.image, o.platforms)
	if err != nil {
		return err
	}
	how := client.Options{Said: func(name string) { t.Note("%s", name) }}
	if o.json {
		how.Said = nil
	}
	if o.ca != "" {
		const limit = 1 << 20
		if how.CA, err = fsx.ReadFile(o.ca, limit); err != nil {
			return err
		}
	}
	done, err := sitedir.Call(t, func(p *operator.Operator) ([]client.Pushed, error) { return p.PushImage(ctx, which, o.to, o.bare, how) })
	if err != nil {
		return err
	}
	if o.json {
		return t.JSON(done)
	}
	t.Printf("%s@%s\n", done[len(done)-1].Name, done[len(done)-1].Digest)
	return nil
}
