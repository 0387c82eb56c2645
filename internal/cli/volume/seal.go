package volume

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"overland/internal/cli/channel"
	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/digest"
	"overland/internal/home"
	"overland/internal/operator"
	"overland/internal/operator/sealing"
	"overland/internal/platform"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/trust"
	"overland/internal/volume"
)

type sealOptions struct {
	source    operator.SourceOptions
	channel   string
	out       string
	platforms []string
	apps      []string
	split     string
	inputs    bool
	compress  bool
	bare      bool   // without provenance
	take      bool   // another repository's name
	agents    string // folder
	jobs      int
	json      bool
}

func seal(t *term.Term, run verb.Run[sealOptions]) *cobra.Command {
	var o sealOptions
	c := &cobra.Command{
		Use:   "seal [SOURCE] -o FILE",
		Short: "Write everything that an installation needs into one file",
		Long: "Writes the releases that --channel runs, the agent and the signed metadata into FILE, which is an installer, an\n" +
			"archive and an OCI image layout at once. The same state gives the same bytes. Without --channel it builds\n" +
			"SOURCE (default: the current folder), releases it, promotes it to the application's own channel, local/APP, and\n" +
			"seals that, making keys on first use. With --platform or --single-target only those platforms are built, and the\n" +
			"version of the release names them; with --channel they choose what FILE holds.\n" +
			"--with-inputs adds the source and everything that overland.lock names: overland rebuild builds it again from FILE\n" +
			"alone. How each artifact was built goes in as it was signed, unless --bare is given.",
		Example: "overland seal -o wallet.volume\noverland seal --single-target -j 2 -o wallet.volume\noverland seal --channel live -o live.volume\n" +
			"overland seal --channel live --platform linux/amd64 --split 650MiB -o live.volume\n" +
			"overland seal --channel live --with-inputs -o live.volume\noverland seal --channel live --compress -o live.volume",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.source.Dir = verb.First(args, "")
			if o.channel != "" && (len(args) > 0 || o.source.Rev != "" || o.source.Dirty || o.take) {
				return verb.Usage("a channel is sealed as it is: leave out SOURCE, --rev, --dirty and --take-name, or --channel")
			}
			return run(c.Context(), t, o)
		},
	}
	verb.SourceFlags(c, &o.source)
	verb.PlatformFlag(c, &o.platforms)
	verb.JobsFlag(c, &o.jobs)
	c.Flags().StringVar(&o.channel, "channel", "", "the channel to seal")
	c.Flags().StringVarP(&o.out, "out", "o", "", "the file to write")
	c.Flags().StringSliceVar(&o.apps, "app", nil, "only programs of these applications, for nodes that have the others; may be repeated")
	c.Flags().StringVar(&o.split, "split", "", "write parts of this size: 650MiB, 2GiB")
	c.Flags().BoolVar(&o.inputs, "with-inputs", false, "add everything that a rebuild needs: source, packages, toolchains")
	c.Flags().BoolVar(&o.compress, "compress", false, "compress what becomes shorter: for slow links and small sticks")
	c.Flags().BoolVar(&o.bare, "bare", false, "leave out the signed provenance of what is in it")
	verb.TakeNameFlag(c, &o.take, "SOURCE takes its name from the repository that has it")
	c.Flags().StringVar(&o.agents, "agents", "", "folder of agent programs (default $OVERLAND_AGENTS, else agents beside this program)")
	verb.JSONFlag(c, &o.json)
	channel.CompleteFlags(t, c, "channel")
	sitedir.CompleteFlags(t, c, sitedir.Apps, "app")
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
	Program     digest.Digest       `json:"program"`     // of the first 8192 bytes, which a shell runs
	CheckedLine string              `json:"checkedLine"` // for a bare shell: checks the program, then installs
	NewKeys     bool                `json:"newKeys"`

	Inputs []sealing.Inputs `json:"inputs,omitempty"`
}

func runSeal(ctx context.Context, t *term.Term, o sealOptions) error {
	platforms, err := verb.ParsePlatforms(o.platforms)
	if err != nil {
		return err
	}
	split, err := verb.ParseSize(o.split)
	if err != nil {
		return err
	}
	var ch release.Channel
	if o.channel != "" {
		if ch, err = release.ParseChannel(o.channel); err != nil {
			return err
		}
	}
	begun := time.Now()
	// With a channel there are releases already, or there is nothing to seal.
	s, err := sitedir.With(t, sitedir.Options{Make: ch == "", Agents: o.agents}, func(p *operator.Operator) (*operator.Sealed, error) {
		return p.Seal(ctx, operator.SealOptions{
			Channel: ch, Source: o.source, Out: o.out, Platforms: platforms, Apps: o.apps, Split: split, Inputs: o.inputs, Compress: o.compress, Bare: o.bare,
			TakeName: release.TakeName(o.take), Parallel: o.jobs,
		})
	})
	if err != nil {
		return err
	}
	return printSealed(t, s, o.json, time.Since(begun))
}

func printSealed(t *term.Term, s *operator.Sealed, asJSON bool, took time.Duration) error {
	t.Warn(s.Warnings...)
	if s.Released != nil {
		t.Warn(verb.NameWarnings(s.Released)...)
	}
	if s.Renewed {
		t.Note("metadata was about to expire and was signed again: this volume differs from one sealed earlier")
	}
	out := sealedJSON{
		Paths: s.Paths, Size: s.Size, Digest: s.Digest, Channel: s.Channel, Platforms: s.Platforms,
		Fingerprint: s.Fingerprint, NewKeys: s.NewKeys, Inputs: s.Inputs,
	}
	var err error
	if out.Program, err = volume.ProgramDigest(s.Paths[0]); err != nil {
		return err
	}
	out.CheckedLine = nextOnNode(s, out.Program)
	for _, e := range s.Entries {
		out.Releases = append(out.Releases, e.Ref().String())
	}
	if asJSON {
		return t.JSON(out)
	}
	for _, path := range s.Paths {
		t.Printf("%s\n", path)
	}
	t.Note("%s in %s: channel %s, %s", progress.Bytes(s.Size), progress.Duration(took), s.Channel, strings.Join(out.Releases, ", "))
	for _, in := range s.Inputs {
		t.Note("inputs of %s: %s", in.Release, inputsText(&in.Inputs))
	}
	if s.NewKeys {
		dir, err := t.SiteDir()
		if err != nil {
			return err
		}
		t.Note("new keys are in %s: keep a copy where only you can read it", home.Keys.In(dir))
	}
	t.Note("root fingerprint, to compare on the node:\n  %s\nchannel, for the node to follow: %s\n"+
		"program, the first %d bytes of the file: %s\n"+
		"next, on the node: paste this line from here, where you can trust what you read; it checks the program before it runs\n  %s",
		s.Fingerprint.Groups(), s.Channel, volume.ProgramSize, out.Program, out.CheckedLine)
	return nil
}
