package binary

import (
	"context"

	"github.com/spf13/cobra"

	"overland/internal/builder/shared"
	netcacheverb "overland/internal/cli/netcache"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/netcache"
	"overland/internal/netcache/client"
	"overland/internal/platform"
	"overland/internal/platform/sysinfo"
	"overland/internal/progress"
)

// treeOptions are the flags that the verbs of the binary cache have in common.
type treeOptions struct {
	config, url   string
	sha1, unbound bool
	json          bool
}

func (o *treeOptions) flags(c *cobra.Command, reads bool) {
	c.Flags().StringVarP(&o.config, "config", "c", "slapos.cfg", "configuration with a section [networkcache]")
	c.Flags().StringVarP(&o.url, "url", "u", "", "URL of the software release")
	if reads {
		c.Flags().BoolVar(&o.sha1, "sha1", false, "believe also SHA-1 signatures of signature-certificate-list, on what slapgrid uploaded")
		c.Flags().BoolVar(&o.unbound, "unbound", false, "with --sha1: also entries that do not say which URL they are for")
	}
	verb.JSONFlag(c, &o.json)
}

// open returns the client, its configuration, and what the room needs to know.
func (o *treeOptions) open(tm *term.Term) (*client.Client, netcache.Config, shared.TreeOptions, error) {
	t := shared.TreeOptions{URL: o.url, Old: o.sha1}
	if o.url == "" {
		return nil, netcache.Config{}, t, errs.Hint(verb.Usage("of which software release"), "--url URL")
	}
	config, err := netcacheverb.ReadConfig(o.config)
	if err != nil {
		return nil, config, t, err
	}
	if t.Host, err = sysinfo.Read(""); err != nil {
		return nil, config, t, err
	}
	c, err := client.New(config, client.Options{Binary: true, SHA1: o.sha1, Unbound: o.unbound, Clock: tm.Clock, State: netcacheverb.State(tm)})
	if err != nil {
		return nil, config, t, err
	}
	tm.Warn(c.Warnings()...)
	return c, config, t, nil
}

// uploadOptions are the settings of binary upload.
type uploadOptions struct {
	treeOptions
	dir      string
	mutable  bool
	prefixes []string
}

func upload(t *term.Term, run verb.Run[uploadOptions]) *cobra.Command {
	var o uploadOptions
	c := &cobra.Command{
		Use:   "upload DIR",
		Short: "Upload a folder of built software",
		Long: "Packs DIR and uploads it, signed, for machines of the same kind as this one: system and release, libc, CPU. It\n" +
			"runs at any place: links, RPATH, RUNPATH and first lines of Python scripts into DIR are made relative, and a file\n" +
			"that holds the path of DIR in any other way is refused by name. A URL that names no version, tag or commit is\n" +
			"refused without --mutable.",
		Example: "overland binary upload software --url https://origin.example/raw/1.0/software.cfg\n" +
			"overland binary upload software --url https://origin.example/raw/1.0/software.cfg --prefix /opt/hello --json",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.dir = args[0]
			return run(c.Context(), t, o)
		},
	}
	o.flags(c, false)
	c.Flags().BoolVar(&o.mutable, "mutable", false, "upload what a branch had today, for good")
	c.Flags().StringSliceVar(&o.prefixes, "prefix", nil, "another path that the software was built for, such as before DESTDIR; may be repeated")
	return c
}

// uploadedTree is the result of binary upload --json.
type uploadedTree struct {
	URL          string        `json:"url"`
	Key          string        `json:"key"`
	SHA512       string        `json:"sha512"`
	Size         int64         `json:"size"` // bytes of the archive
	Sent         bool          `json:"sent"` // false: the cache had it already
	Entries      int64         `json:"entries"`
	UnpackedSize int64         `json:"unpackedSize"`
	Rewritten    []string      `json:"rewritten"`
	For          platform.Host `json:"for"`
}

func runUpload(ctx context.Context, tm *term.Term, o uploadOptions) error {
	c, config, t, err := o.open(tm)
	if err != nil {
		return err
	}
	defer c.Close()
	t.Mutable, t.Prefixes, t.List = o.mutable, o.prefixes, config.UploadBlacklist
	up, err := shared.UploadTree(ctx, c, o.dir, t)
	if err != nil {
		return err
	}
	if o.json {
		return tm.JSON(uploadedTree{
			URL: o.url, Key: netcache.MD5(o.url), SHA512: up.Name, Size: up.Size, Sent: up.Sent, Entries: up.Tree.Entries,
			UnpackedSize: up.Tree.Size, Rewritten: append([]string{}, up.Tree.Rewritten...), For: t.Host,
		})
	}
	tm.Printf("%s\n", up.Name)
	tm.Note("%s, %s, %d changed to run at any place; for %s", progress.Bytes(up.Size), progress.Count(int(up.Tree.Entries), "file or folder", "files and folders"), len(up.Tree.Rewritten), t.Host)
	return nil
}

// installOptions are the settings of binary install.
type installOptions struct {
	treeOptions
	dest string
}

func install(t *term.Term, run verb.Run[installOptions]) *cobra.Command {
	var o installOptions
	c := &cobra.Command{
		Use:   "install DEST",
		Short: "Install uploaded software without a compiler",
		Long: "Makes the folder DEST from the best entry for --url that a key in overland-key-list signed and that is for machines\n" +
			"of this kind: the same system, release and kind of libc, no newer libc and no higher CPU level. DEST appears whole\n" +
			"and verified, or not at all. Software for another kind of machine is never installed: the message lists what\n" +
			"there is.",
		Example: "overland binary install --url https://origin.example/raw/1.0/software.cfg opt/hello\n" +
			"overland binary install --url https://origin.example/raw/1.0/software.cfg opt/again --json",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.dest = args[0]
			return run(c.Context(), t, o)
		},
	}
	o.flags(c, true)
	return c
}

// offeredTree is an entry in the output of binary list --json, and the
// result of binary install --json.
type offeredTree struct {
	SHA512  string        `json:"sha512"`
	Signer  string        `json:"signer"` // key id
	SHA1    bool          `json:"sha1"`   // only a SHA-1 signature vouches for it
	For     platform.Host `json:"for"`
	Refused string        `json:"refused,omitempty"` // why this machine does not run it
	Path    string        `json:"path,omitempty"`    // of install
	Size    int64         `json:"size,omitempty"`    // of install: bytes of the archive
}

func runInstall(ctx context.Context, tm *term.Term, o installOptions) error {
	c, config, t, err := o.open(tm)
	if err != nil {
		return err
	}
	defer c.Close()
	t.List = config.DownloadBlacklist
	in, err := shared.InstallTree(ctx, c, o.dest, t)
	if err != nil {
		return err
	}
	if o.json {
		return tm.JSON(offeredTree{
			SHA512: in.Name(), Signer: in.Signer.ID, SHA1: in.Statement == nil, For: in.Kind, Path: o.dest, Size: in.Size,
		})
	}
	tm.Printf("%s\n", o.dest)
	tm.Note("%s, built for %s, signed by %s", progress.Bytes(in.Size), in.Kind, netcacheverb.SignerName(in.Found))
	return nil
}

func list(t *term.Term, run verb.Run[treeOptions]) *cobra.Command {
	var o treeOptions
	c := &cobra.Command{
		Use:   "list",
		Short: "List uploaded software and the machines it is for",
		Long: "Lists the entries for --url that can be trusted, those that this machine runs first, and says why it does not run\n" +
			"the others.",
		Example: "overland binary list --url https://origin.example/raw/1.0/software.cfg\n" +
			"overland binary list --url https://origin.example/raw/1.0/software.cfg --json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return run(c.Context(), t, o) },
	}
	o.flags(c, true)
	return c
}

func runList(ctx context.Context, tm *term.Term, o treeOptions) error {
	c, _, t, err := o.open(tm)
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := shared.Trees(ctx, c, t)
	if err != nil {
		return err
	}
	entries, rows := []offeredTree{}, [][]string{}
	for _, f := range all {
		entries = append(entries, offeredTree{SHA512: f.Name(), Signer: f.Signer.ID, SHA1: f.Statement == nil, For: f.Kind, Refused: f.Refused})
		runs := "yes"
		if f.Refused != "" {
			runs = "no: " + f.Refused
		}
		rows = append(rows, []string{term.Short(f.Name()), netcacheverb.SignerName(f.Found), f.Kind.String(), runs})
	}
	if o.json {
		return tm.JSON(entries)
	}
	tm.Table("", "SHA512 SIGNER FOR RUNS-HERE", rows)
	return nil
}

// hostOptions are the settings of binary host.
type hostOptions struct{ json bool }

func hostVerb(t *term.Term, run verb.Run[hostOptions]) *cobra.Command {
	var o hostOptions
	c := &cobra.Command{
		Use:   "host",
		Short: "Show what kind of machine this is",
		Long: "Shows what decides whether software that was compiled elsewhere runs here: system and release, CPU and its level,\n" +
			"libc and its version. No compiler is needed, and no program is run.",
		Example: "overland binary host\noverland binary host --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), t, o) },
	}
	verb.JSONFlag(c, &o.json)
	return c
}

func runHost(_ context.Context, t *term.Term, o hostOptions) error {
	h, err := sysinfo.Read("")
	if err != nil {
		return err
	}
	if o.json {
		return t.JSON(h)
	}
	t.Printf("%s\n", h)
	return nil
}
