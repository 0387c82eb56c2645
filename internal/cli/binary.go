package cli

import (
	"context"

	"github.com/spf13/cobra"

	"overland/internal/builder/shared"
	"overland/internal/errs"
	"overland/internal/netcache"
	"overland/internal/netcache/client"
	"overland/internal/platform"
	"overland/internal/platform/host"
	"overland/internal/progress"
)

func (a *app) binary() *cobra.Command {
	return group("binary", "Share built software with machines of the same kind",
		a.binaryUpload(), a.binaryInstall(), a.binaryList(), a.binaryHost())
}

// binaryOptions are the flags that the verbs of the binary cache have in common.
type binaryOptions struct {
	config, url   string
	sha1, unbound bool
	json          bool
}

func (o *binaryOptions) flags(c *cobra.Command, reads bool) {
	c.Flags().StringVarP(&o.config, "config", "c", "slapos.cfg", "configuration with a section [networkcache]")
	c.Flags().StringVarP(&o.url, "url", "u", "", "URL of the software release")
	if reads {
		c.Flags().BoolVar(&o.sha1, "sha1", false, "believe also SHA-1 signatures of signature-certificate-list, on what slapgrid uploaded")
		c.Flags().BoolVar(&o.unbound, "unbound", false, "with --sha1: also entries that do not say which URL they are for")
	}
	jsonFlag(c, &o.json)
}

// open returns the client, its configuration, and what the room needs to know.
func (o *binaryOptions) open(a *app) (*client.Client, netcache.Config, shared.TreeOptions, error) {
	t := shared.TreeOptions{URL: o.url, Old: o.sha1}
	if o.url == "" {
		return nil, netcache.Config{}, t, errs.Hint(usage("of which software release"), "--url URL")
	}
	config, err := readNetcacheConfig(o.config)
	if err != nil {
		return nil, config, t, err
	}
	if t.Host, err = host.Read(""); err != nil {
		return nil, config, t, err
	}
	c, err := client.New(config, client.Options{Binary: true, SHA1: o.sha1, Unbound: o.unbound, Clock: a.Clock, State: a.netcacheState()})
	if err != nil {
		return nil, config, t, err
	}
	a.warn(c.Warnings()...)
	return c, config, t, nil
}

func (a *app) binaryUpload() *cobra.Command {
	var o binaryOptions
	var mutable bool
	var prefixes []string
	c := &cobra.Command{
		Use:   "upload DIR",
		Short: "Upload a folder of built software",
		Long: "Packs DIR and uploads it, signed, for machines of the same kind as this one: system and release, libc, CPU. It will\n" +
			"run at any place: links, RPATH, RUNPATH and first lines of Python scripts into DIR are made relative, and a file that\n" +
			"holds the path of DIR in any other way is refused by name. A URL that names no version, tag or commit is refused without --mutable.",
		Example: "overland binary upload software --url https://origin.example/raw/1.0/software.cfg\n" +
			"overland binary upload software --url https://origin.example/raw/1.0/software.cfg --prefix /opt/hello --json",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runBinaryUpload(c.Context(), o, args[0], mutable, prefixes)
		},
	}
	o.flags(c, false)
	c.Flags().BoolVar(&mutable, "mutable", false, "upload what a branch had today, for good")
	c.Flags().StringSliceVar(&prefixes, "prefix", nil, "another path that the software was built for, such as before DESTDIR; may be repeated")
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

func (a *app) runBinaryUpload(ctx context.Context, o binaryOptions, dir string, mutable bool, prefixes []string) error {
	c, config, t, err := o.open(a)
	if err != nil {
		return err
	}
	defer c.Close()
	t.Mutable, t.Prefixes, t.List = mutable, prefixes, config.UploadBlacklist
	up, err := shared.UploadTree(ctx, c, dir, t)
	if err != nil {
		return err
	}
	if o.json {
		return a.printJSON(uploadedTree{
			URL: o.url, Key: netcache.MD5(o.url), SHA512: up.Name, Size: up.Size, Sent: up.Sent, Entries: up.Tree.Entries,
			UnpackedSize: up.Tree.Size, Rewritten: append([]string{}, up.Tree.Rewritten...), For: t.Host,
		})
	}
	a.printf("%s\n", up.Name)
	a.note("%s, %s, %d changed to run at any place; for %s", progress.Bytes(up.Size), plural(int(up.Tree.Entries), "file or folder", "files and folders"), len(up.Tree.Rewritten), t.Host)
	return nil
}

func (a *app) binaryInstall() *cobra.Command {
	var o binaryOptions
	c := &cobra.Command{
		Use:   "install DEST",
		Short: "Install uploaded software without a compiler",
		Long: "Makes the folder DEST from the best entry for --url that a key in overland-key-list signed and that is for machines of\n" +
			"this kind: the same system, release and kind of libc, no newer libc and no higher CPU level. DEST appears whole and\n" +
			"verified, or not at all. Software for another kind of machine is never installed: the message lists what there is.",
		Example: "overland binary install --url https://origin.example/raw/1.0/software.cfg opt/hello\n" +
			"overland binary install --url https://origin.example/raw/1.0/software.cfg opt/again --json",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.runBinaryInstall(c.Context(), o, args[0]) },
	}
	o.flags(c, true)
	return c
}

// offeredTree is an entry in the output of binary list --json, and the result of binary install --json.
type offeredTree struct {
	SHA512  string        `json:"sha512"`
	Signer  string        `json:"signer"` // key id
	SHA1    bool          `json:"sha1"`   // only a SHA-1 signature vouches for it
	For     platform.Host `json:"for"`
	Refused string        `json:"refused,omitempty"` // why this machine does not run it
	Path    string        `json:"path,omitempty"`    // of install
	Size    int64         `json:"size,omitempty"`    // of install: bytes of the archive
}

func (a *app) runBinaryInstall(ctx context.Context, o binaryOptions, dest string) error {
	c, config, t, err := o.open(a)
	if err != nil {
		return err
	}
	defer c.Close()
	t.List = config.DownloadBlacklist
	in, err := shared.InstallTree(ctx, c, dest, t)
	if err != nil {
		return err
	}
	if o.json {
		return a.printJSON(offeredTree{
			SHA512: in.Name(), Signer: in.Signer.ID, SHA1: in.Statement == nil, For: in.Kind, Path: dest, Size: in.Size,
		})
	}
	a.printf("%s\n", dest)
	a.note("%s, built for %s, signed by %s", progress.Bytes(in.Size), in.Kind, signerName(in.Found))
	return nil
}

func (a *app) binaryList() *cobra.Command {
	var o binaryOptions
	c := &cobra.Command{
		Use:   "list",
		Short: "List uploaded software and the machines it is for",
		Long: "Lists the entries for --url that are to be believed, those that this machine runs first, and says why it does not run\n" +
			"the others.",
		Example: "overland binary list --url https://origin.example/raw/1.0/software.cfg\n" +
			"overland binary list --url https://origin.example/raw/1.0/software.cfg --json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.runBinaryList(c.Context(), o) },
	}
	o.flags(c, true)
	return c
}

func (a *app) runBinaryList(ctx context.Context, o binaryOptions) error {
	c, _, t, err := o.open(a)
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
		rows = append(rows, []string{short(f.Name()), signerName(f.Found), f.Kind.String(), runs})
	}
	if o.json {
		return a.printJSON(entries)
	}
	a.table("", "SHA512 SIGNER FOR RUNS-HERE", rows)
	return nil
}

func (a *app) binaryHost() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "host",
		Short: "Show what kind of machine this is",
		Long: "Shows what decides whether software that was compiled elsewhere runs here: system and release, CPU and its level, libc\n" +
			"and its version. No compiler is needed, and no program is run.",
		Example: "overland binary host\noverland binary host --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			h, err := host.Read("")
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(h)
			}
			a.printf("%s\n", h)
			return nil
		},
	}
	jsonFlag(c, &asJSON)
	return c
}
