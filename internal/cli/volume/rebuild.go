package volume

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"overland/internal/builder"
	"overland/internal/cli/release"
	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/confine/cell"
	"overland/internal/digest"
	"overland/internal/ecosystem/apk"
	"overland/internal/ecosystem/apt"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/operator"
	"overland/internal/platform"
	rel "overland/internal/release"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

// rebuildOptions are the settings of rebuild.
type rebuildOptions struct {
	what   string // a release of the site, or a volume
	root   string // of a volume
	app    string // of a volume
	verify bool

	isolation cell.Isolation
	json      bool
}

func rebuild(t *term.Term, run verb.Run[rebuildOptions]) *cobra.Command {
	var o rebuildOptions
	c := &cobra.Command{
		Use:   "rebuild RELEASE|FILE",
		Short: "Build a release again from what it was built from, and compare",
		Long: "Unpacks the source of a signed RELEASE of the site, or of the one in a volume FILE sealed --with-inputs, and builds\n" +
			"every artifact again: without a network, with empty caches, from what the lock names alone. Where one differs, it\n" +
			"names the first file that does, and shows both: of images what the layers hold, and then how that is compressed.\n" +
			"What the release says of its services and commands must be what the overland.yaml of its commit says.\n" +
			"With --verify it is built in another folder, language, time zone and umask. The exit code is 0 when all are\n" +
			"identical, and 1 when one is not.",
		Example: "overland rebuild wallet@r412.abcdef012345 --verify\noverland rebuild live.volume --root FINGERPRINT --verify",
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			names, _ := sitedir.Complete(t, 1, sitedir.Releases)(c, args, begun)
			return names, cobra.ShellCompDirectiveDefault // files too
		},
		RunE: func(c *cobra.Command, args []string) error {
			o.what = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().BoolVar(&o.verify, "verify", false, "build in another folder, language, time zone and umask")
	c.Flags().StringVar(&o.root, "root", "", "of a FILE: fingerprint of the root of trust, as overland trust show prints it")
	c.Flags().StringVar(&o.app, "app", "", "of a FILE: the application, when it holds the inputs of several")
	verb.IsolationFlag(c, &o.isolation)
	verb.JSONFlag(c, &o.json)
	return c
}

func runRebuild(ctx context.Context, t *term.Term, o rebuildOptions) (err error) {
	opened, err := o.open(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	if o.verify {
		const others = 0o027
		defer syscall.Umask(syscall.Umask(others))
	}
	w, err := unpack(ctx, t, opened, o.isolation, o.verify)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Leave()) }()
	return w.rebuild(ctx, t, opened, o.json)
}

// open opens what is built again.
func (o rebuildOptions) open(ctx context.Context, t *term.Term) (*operator.Opened, error) {
	ref, released, err := sitedir.Which(ctx, t, o.what)
	if err != nil {
		return nil, err
	}
	if !released {
		return openFile(ctx, t, o.what, o.root, o.app)
	}
	if o.root != "" || o.app != "" {
		return nil, verb.Usage("--root and --app are for files: the site's own metadata says who signed %s", o.what)
	}
	return sitedir.Call(t, func(p *operator.Operator) (*operator.Opened, error) { return p.OpenRelease(ctx, ref) })
}

// foreign returns list with another language and time zone.
func foreign(list []string) []string {
	return append(slices.DeleteFunc(list, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return name == "TZ" || name == "LANG" || strings.HasPrefix(name, "LC_")
	}), "TZ=Asia/Kathmandu", "LANG=tr_TR.UTF-8", "LC_ALL=tr_TR.UTF-8")
}

// rebuild builds what was opened and compares the result with the release.
func (w *world) rebuild(ctx context.Context, t *term.Term, opened *operator.Opened, asJSON bool) error {
	self, err := executable()
	if err != nil {
		return err
	}
	out := &fsx.Beginning{Most: 8 << 20} // what is built says what it likes
	s := w.session
	s.Command, s.Stdout = []string{self, "build", "--json", "--as-released"}, out
	for _, p := range opened.Platforms() {
		s.Command = append(s.Command, "--platform", string(p))
	}
	if t.Quiet {
		s.Command = append(s.Command, "--quiet")
	}
	depot, err := storedir.Open(home.Depot.In(filepath.Join(w.Dir(), "home")), storedir.Options{})
	if err != nil {
		return err
	}
	if err := packages(ctx, depot, opened); err != nil {
		return err
	}
	if err := replay(ctx, t, s, opened); err != nil {
		return err
	}
	var built release.Built
	if err := json.Unmarshal(out.Bytes(), &built); err != nil {
		return fmt.Errorf("result of overland build: %w", err)
	}
	left, err := os.OpenRoot(filepath.Join(w.Dir(), "home"))
	if err != nil {
		return err
	}
	defer left.Close()
	return compare(t, opened, built, asJSON, func(a rel.Artifact, now digest.Digest) string {
		image := a.Kind == rel.KindImage
		return builder.Difference(ctx, builder.Side{In: opened, Digest: a.Blob.Digest, Image: image}, builder.Side{In: leftDepot{left}, Digest: now, Image: image})
	})
}

// leftDepot is the depot in the site directory that a build in a cell leaves. A command in that cell may have made
// anything of it: nothing is written there, no link leads out of it, and a pipe is not waited for.
type leftDepot struct{ home *os.Root }

// Open is part of store.Opener.
func (l leftDepot) Open(_ context.Context, d digest.Digest) (store.Blob, error) {
	if _, err := digest.Parse(string(d)); err != nil {
		return nil, err
	}
	f, err := fsx.OpenIn(l.home, filepath.Join(home.Depot.In("."), store.BlobFolder, d.Encoded()))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return store.NewBlob(f, info.Size()), nil
}

// packages copies into depot the packages of distributions that the lock of opened names: a root file system is made of what
// is in the depot, and asks no session.
func packages(ctx context.Context, depot *storedir.Store, opened *operator.Opened) error {
	for _, e := range opened.Lock.Entries {
		if e.Protocol != apt.Name && e.Protocol != apk.Name || !e.Exists() {
			continue
		}
		b, err := opened.Open(ctx, e.Blob)
		if err != nil {
			return err
		}
		_, _, err = depot.Put(ctx, b, e.Blob, b.Size())
		if err := errors.Join(err, b.Close()); err != nil {
			return err
		}
	}
	return nil
}

// executable returns the path of this program, as it was called.
func executable() (string, error) {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return os.Executable()
	}
	return filepath.Abs(path)
}

// rebuiltJSON is the result of rebuild --json, and of open --json.
type rebuiltJSON struct {
	Release   string                `json:"release"`
	Identical bool                  `json:"identical"`
	Unlike    []string              `json:"unlike,omitempty"` // what the release says and the overland.yaml of its commit does not
	Artifacts []rebuiltArtifactJSON `json:"artifacts"`
}

type rebuiltArtifactJSON struct {
	Name       string            `json:"name"`
	Platform   platform.Platform `json:"platform"`
	Released   digest.Digest     `json:"released"`
	Built      digest.Digest     `json:"built,omitempty"`
	Difference string            `json:"difference,omitempty"` // where they begin to differ
}

// compare says which of the artifacts in opened came out the same; difference says where two begin to differ.
func compare(t *term.Term, opened *operator.Opened, built release.Built, asJSON bool, difference func(rel.Artifact, digest.Digest) string) error {
	out := rebuiltJSON{Release: opened.Ref().String(), Unlike: opened.Unlike()}
	var rows [][]string
	bad := slices.Clone(out.Unlike)
	for _, r := range opened.Artifacts {
		j := rebuiltArtifactJSON{Name: r.Name, Platform: r.Platform, Released: r.Blob.Digest}
		at := slices.IndexFunc(built.Programs, func(p release.Program) bool { return p.Name == r.Name && p.Platform == r.Platform })
		verdict := "identical"
		switch {
		case at < 0:
			verdict = "not built"
			bad = append(bad, fmt.Sprintf("%s for %s is not built, the release has %s", r.Name, r.Platform, j.Released))
		case built.Programs[at].Digest != j.Released:
			j.Built = built.Programs[at].Digest
			verdict, j.Difference = "different", difference(r, j.Built)
			bad = append(bad, fmt.Sprintf("%s for %s is %s, the release has %s: %s", r.Name, r.Platform, j.Built, j.Released, j.Difference))
		default:
			j.Built = j.Released
		}
		out.Artifacts = append(out.Artifacts, j)
		rows = append(rows, []string{r.Name, string(r.Platform), verdict, string(j.Released)})
	}
	for _, p := range built.Programs {
		if !slices.ContainsFunc(opened.Artifacts, func(r rel.Artifact) bool { return r.Name == p.Name && r.Platform == p.Platform }) {
			bad = append(bad, fmt.Sprintf("%s for %s is built, the release lacks it", p.Name, p.Platform))
		}
	}
	out.Identical = len(bad) == 0
	if asJSON {
		if err := t.JSON(out); err != nil {
			return err
		}
	} else {
		t.Printf("%s\n", out.Release)
		t.Table("", "ARTIFACT PLATFORM REBUILT DIGEST", rows)
	}
	if len(bad) > 0 {
		return errs.Hint(errs.Errorf(errs.Conflict, "not reproducible: %s", strings.Join(bad, "; ")),
			"overland build --rebuild, where it is developed, shows whether it comes out the same twice")
	}
	return nil
}
