package cli

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/home"
	"overland/internal/operator"
	"overland/internal/platform"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/trust"
)

type sealOptions struct {
	source    operator.SourceOptions
	channel   string
	out       string
	platforms []string
	apps      []string
	split     string
	inputs    bool
	json      bool
}

func (a *app) seal() *cobra.Command {
	var o sealOptions
	c := &cobra.Command{
		Use:   "seal [SOURCE] -o FILE",
		Short: "Write all that an installation needs into one file",
		Long: "Writes the releases that --channel runs, the agent and the signed metadata into FILE, which is an installer, an\n" +
			"archive and an OCI image layout at once. The same state gives the same bytes. Without --channel it builds\n" +
			"SOURCE (default: the current folder), releases it, promotes it to the channel \"local\" and seals that,\n" +
			"making keys on first use. --platform chooses what FILE holds; a release is always built for all its platforms.\n" +
			"--with-inputs adds the source and everything that overland.lock names: overland open builds it again from FILE\n" +
			"alone.",
		Example: "overland seal -o wallet.volume\noverland seal --channel live -o live.volume\n" +
			"overland seal --channel live --platform linux/amd64 --split 650MiB -o live.volume\n" +
			"overland seal --channel live --with-inputs -o live.volume",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.source.Dir = first(args, "")
			if o.channel != "" && (len(args) > 0 || o.source.Rev != "" || o.source.Dirty) {
				return usage("a channel is sealed as it is: SOURCE, --rev and --dirty go without --channel")
			}
			return a.runSeal(c.Context(), o)
		},
	}
	sourceFlags(c, &o.source)
	platformFlag(c, &o.platforms)
	c.Flags().StringVar(&o.channel, "channel", "", "the channel to seal")
	c.Flags().StringVarP(&o.out, "out", "o", "", "the file to write")
	c.Flags().StringSliceVar(&o.apps, "app", nil, "programs of these applications only, for nodes that have the others; may be repeated")
	c.Flags().StringVar(&o.split, "split", "", "write parts of this size: 650MiB, 2GB")
	c.Flags().BoolVar(&o.inputs, "with-inputs", false, "everything that a rebuild needs, too: source, packages, toolchains")
	c.Flags().StringVar(&a.agents, "agents", "", "folder of agent programs (default $OVERLAND_AGENTS, else agents beside this program)")
	jsonFlag(c, &o.json)
	a.completeChannels(c, "channel")
	return c
}

// sealedJSON is the result of seal --json.
type sealedJSON struct {
	Paths       []string            `json:"paths"`
	Size        int64               `json:"size"`
	Digest      digest.Digest       `json:"digest"`
	Channel     release.Channel     `json:"channel"`
	Releases    []string            `json:"releases"`
	Platforms   []platform.Platform `json:"platforms"`
	Fingerprint trust.Fingerprint   `json:"fingerprint"`
	NewKeys     bool                `json:"newKeys"`

	Inputs []operator.SealedInputs `json:"inputs,omitempty"`
}

func (a *app) runSeal(ctx context.Context, o sealOptions) error {
	platforms, err := parsePlatforms(o.platforms)
	if err != nil {
		return err
	}
	split, err := parseSize(o.split)
	if err != nil {
		return err
	}
	var ch release.Channel
	if o.channel != "" {
		if ch, err = release.ParseChannel(o.channel); err != nil {
			return err
		}
	}
	begun, begin := time.Now(), callFirst[*operator.Sealed]
	if ch != "" {
		begin = call // there are releases already, or there is nothing to seal
	}
	s, err := begin(a, func(p *operator.Pipeline) (*operator.Sealed, error) {
		return p.Seal(ctx, operator.SealOptions{
			Channel: ch, Source: o.source, Out: o.out, Platforms: platforms, Apps: o.apps, Split: split, Inputs: o.inputs,
		})
	})
	if err != nil {
		return err
	}
	return a.printSealed(s, o.json, time.Since(begun))
}

func (a *app) printSealed(s *operator.Sealed, asJSON bool, took time.Duration) error {
	a.warn(s.Warnings...)
	if s.Renewed {
		a.note("metadata was close to its expiry and is signed anew: this volume differs from one sealed before")
	}
	out := sealedJSON{
		Paths: s.Paths, Size: s.Size, Digest: s.Digest, Channel: s.Channel, Platforms: s.Platforms,
		Fingerprint: s.Fingerprint, NewKeys: s.NewKeys, Inputs: s.Inputs,
	}
	for _, e := range s.Entries {
		out.Releases = append(out.Releases, e.Ref().String())
	}
	if asJSON {
		return a.printJSON(out)
	}
	for _, path := range s.Paths {
		a.printf("%s\n", path)
	}
	a.note("%s in %s: channel %s, %s", progress.Bytes(s.Size), progress.Duration(took), s.Channel, strings.Join(out.Releases, ", "))
	for _, in := range s.Inputs {
		a.note("inputs of %s: %s", in.Release, inputsText(&in.Inputs))
	}
	if s.NewKeys {
		dir, err := a.dir()
		if err != nil {
			return err
		}
		a.note("new keys are in %s: keep a copy where only you can read it", home.Keys.In(dir))
	}
	a.note("root fingerprint, to compare on the node:\n  %s\nnext, on the node: sh %s install", s.Fingerprint.Groups(), filepath.Base(s.Paths[0]))
	return nil
}

// parseSize returns s, "650MiB" or "2GB" or a number of bytes, in bytes; 0 for "".
func parseSize(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := progress.ParseBytes(s)
	return n, errs.E(errs.Invalid, err)
}
