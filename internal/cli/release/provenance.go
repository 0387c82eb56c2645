package release

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/operator"
	"overland/internal/platform"
	"overland/internal/progress"
	"overland/internal/provenance"
	rel "overland/internal/release"
	"overland/internal/trust/keys"
)

// provenanceOptions are the settings of provenance.
type provenanceOptions struct {
	what      string // a release of the site, or a volume
	root, app string // of a volume
	out       string
	json      bool
}

func origin(t *term.Term, run verb.Run[provenanceOptions]) *cobra.Command {
	var o provenanceOptions
	c := &cobra.Command{
		Use:   "provenance RELEASE|FILE",
		Short: "Show how a release was built, as it was signed",
		Long: "Verifies and shows the SLSA provenance of each artifact of a signed RELEASE, or of the one in a volume FILE: its\n" +
			"commit, what the lock names, and the site that built it. The key that may release the application signs it, when\n" +
			"the release is made; where that was missed, it is signed now. With -o each statement becomes a Sigstore bundle in\n" +
			"DIR, beside the public key: cosign verify-blob-attestation --key DIR/release.pub --bundle\n" +
			"DIR/NAME-PLATFORM.sigstore.json checks a program with them, without a network.",
		Example: "overland provenance wallet@r412.abcdef012345\noverland provenance wallet@r412.abcdef012345 -o provenance\n" +
			"overland provenance live.volume --root FINGERPRINT",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: sitedir.Complete(t, 1, sitedir.Releases),
		RunE: func(c *cobra.Command, args []string) error {
			o.what = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.root, "root", "",
		"of a FILE: fingerprint of the root of trust, as overland trust show prints it (default: the file's own)")
	c.Flags().StringVar(&o.app, "app", "", "of a FILE: the application, when it holds several")
	c.Flags().StringVarP(&o.out, "out", "o", "", "write the bundles and the public key into the folder DIR")
	verb.JSONFlag(c, &o.json)
	return c
}

// provenanceJSON is one element of provenance --json.
type provenanceJSON struct {
	Artifact  string                `json:"artifact"`
	Platform  platform.Platform     `json:"platform,omitempty"` // none: the index of an image
	Digest    digest.Digest         `json:"digest"`
	Key       string                `json:"key"` // id of the key that signed
	Statement *provenance.Statement `json:"statement"`
}

func runProvenance(ctx context.Context, t *term.Term, o provenanceOptions) error {
	ref, list, names, err := o.list(ctx, t)
	if err != nil {
		return err
	}
	if o.out != "" {
		if err := writeBundles(o.out, list); err != nil {
			return err
		}
	}
	if o.json {
		out := []provenanceJSON{}
		for _, m := range list {
			out = append(out, provenanceJSON{m.Artifact, m.Platform, m.Digest, m.Key.ID, m.Statement})
		}
		return t.JSON(out)
	}
	t.Printf("%s\n", ref)
	var rows [][]string
	for _, m := range list {
		rows = append(rows, []string{m.Artifact, cmp.Or(string(m.Platform), "all"), cmp.Or(names[m.Key.ID], term.Short(m.Key.ID)), string(m.Digest)})
	}
	t.Table("", "ARTIFACT PLATFORM SIGNED DIGEST", rows)
	d := list[0].Statement.Predicate
	t.Printf("built by   %s\n", d.RunDetails.Builder.ID)
	for _, r := range d.BuildDefinition.ResolvedDependencies {
		if commit := r.Digest["gitCommit"]; commit != "" {
			t.Printf("commit     %s\n", commit)
		}
	}
	t.Printf("read       %s\n", progress.Count(len(d.BuildDefinition.ResolvedDependencies), "input", "inputs"))
	return nil
}

// list returns what is signed, of which release, and the names of this machine's keys by their ids.
func (o provenanceOptions) list(ctx context.Context, t *term.Term) (
	ref rel.Ref, list []operator.Provenance, names map[string]string, err error,
) {
	ref, released, err := sitedir.Which(ctx, t, o.what)
	if err != nil {
		return ref, nil, nil, err
	}
	if !released {
		root, err := verb.ParseRoot(o.root)
		if err != nil {
			return ref, nil, nil, err
		}
		bar := t.Bar()
		defer bar.Close()
		ref, list, err = operator.ProvenanceFile(ctx, operator.FileOptions{Path: o.what, Root: root, App: o.app, Progress: bar.Show})
		return ref, list, nil, err
	}
	if o.root != "" || o.app != "" {
		return ref, nil, nil, verb.Usage("--root and --app are for files: the site's own metadata says who signed %s", o.what)
	}
	list, err = sitedir.Call(t, func(p *operator.Operator) ([]operator.Provenance, error) {
		names = p.KeyNames()
		return p.Provenance(ctx, ref)
	})
	return ref, list, names, err
}

// writeBundles writes list into the folder dir, each under the name of its artifact and platform, and the key beside them.
func writeBundles(dir string, list []operator.Provenance) error {
	const folder, mode = 0o755, 0o644
	if err := (fsx.FS{}).Mkdir(dir, folder); err != nil {
		return err
	}
	for _, m := range list {
		name := m.Artifact
		if m.Platform != "" {
			name += "-" + m.Platform.Dashed()
		}
		if err := (fsx.FS{}).WriteFile(filepath.Join(dir, name+".sigstore.json"), m.Bundle, mode); err != nil {
			return fmt.Errorf("write provenance: %w", err)
		}
	}
	return fsx.FS{}.WriteFile(filepath.Join(dir, "release.pub"), keys.EncodePublic(list[0].Key.Key), mode)
}
