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

	"github.com/spf13/cobra"

	"overland/internal/cli/record"
	"overland/internal/cli/release"
	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/confine"
	"overland/internal/confine/cell"
	"overland/internal/digest"
	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/lockfile"
	"overland/internal/operator"
	"overland/internal/platform"
	"overland/internal/session"
	"overland/internal/trust"
	"overland/internal/trust/repository"
)

type openOptions struct {
	file    string
	root    string
	app     string
	command []string

	isolation cell.Isolation
	json      bool
}

func open(t *term.Term, run verb.Run[openOptions]) *cobra.Command {
	var o openOptions
	c := &cobra.Command{
		Use:   "open FILE [-- COMMAND…]",
		Short: "Build again from a volume, without a network",
		Long: "Checks every byte of FILE and its signatures, unpacks the source of the release in it into a temporary folder, and\n" +
			"runs COMMAND there as overland replay does: it sees that folder, empty caches, an empty site directory, the machine's\n" +
			"programs and what FILE holds. Without COMMAND it builds every artifact and compares it with the release. FILE\n" +
			"must have been sealed --with-inputs. Its signatures must begin at the root --root, or else at this machine's own.\n" +
			"The exit code is COMMAND's; 5 when it asked for what was never recorded.",
		Example: "overland open live.volume\noverland open live.volume --root FINGERPRINT -- git log --oneline",
		Args: func(c *cobra.Command, args []string) error {
			if n := c.ArgsLenAtDash(); n == 1 || (n < 0 && len(args) == 1) {
				return nil
			}
			return errors.New("one file, then -- and a command")
		},
		RunE: func(c *cobra.Command, args []string) error {
			o.file, o.command = args[0], args[1:]
			if o.json && len(o.command) > 0 {
				return verb.Usage("--json is for the comparison: leave it out, or COMMAND")
			}
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.root, "root", "", "fingerprint of the root of trust, as overland trust show prints it")
	c.Flags().StringVar(&o.app, "app", "", "the application, when FILE holds the inputs of several")
	verb.IsolationFlag(c, &o.isolation)
	verb.JSONFlag(c, &o.json)
	return c
}

func runOpen(ctx context.Context, t *term.Term, o openOptions) (err error) {
	isolation, err := cell.Parse(string(o.isolation))
	if err != nil {
		return err
	}
	root, err := trustedRoot(ctx, t, o.root)
	if err != nil {
		return err
	}
	bar := t.Bar()
	opened, err := operator.OpenVolume(ctx, operator.OpenOptions{Path: o.file, Root: root, App: o.app, Progress: bar.Show})
	bar.Close()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	scratch, err := home.TakeScratch("overland-open-" + opened.App + "-" + opened.Version)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scratch.Leave()) }()
	t.Note("%s: signed under the root %s", opened.Ref(), root)
	source := filepath.Join(scratch.Dir(), "source")
	if err := opened.Unpack(ctx, source); err != nil {
		return err
	}
	s := session.Options{
		Blobs: opened, Lock: opened.Lock, LockFile: filepath.Join(source, lockfile.Name), Dir: filepath.Join(scratch.Dir(), "sessions"),
		WorkDir: source, Command: o.command, Environ: scratch.Environ(known(environ.Child())),
		Stdin: t.Stdin, Stdout: t.Stdout, Stderr: t.Stderr,
		Isolation: isolation, Limits: cell.Limits(confine.Limits{Time: cell.MostTime}, scratch.Dir()),
	}
	for _, name := range []string{"source", "home", "cache", "tmp"} {
		const mode = 0o700
		if err := os.MkdirAll(filepath.Join(scratch.Dir(), name), mode); err != nil {
			return err
		}
		s.Own = append(s.Own, filepath.Join(scratch.Dir(), name))
	}
	if len(o.command) > 0 {
		return replay(ctx, t, s)
	}
	return rebuild(ctx, t, s, opened, o.json)
}

// known returns what of the caller's environment another's source may know.
func known(list []string) []string {
	return slices.DeleteFunc(list, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return !strings.HasPrefix(name, "LC_") && !slices.Contains([]string{"PATH", "TERM", "LANG", "TZ", "HOME"}, name)
	})
}

// trustedRoot returns where the signatures of a volume must begin: the fingerprint given, or that
// of this machine's own signed metadata.
func trustedRoot(ctx context.Context, t *term.Term, given string) (trust.Fingerprint, error) {
	if given != "" {
		return verb.ParseRoot(given)
	}
	fp, err := sitedir.Signed(ctx, t, func(repo *repository.Repository) (trust.Fingerprint, error) { return repo.Fingerprint(), nil })
	if errs.KindOf(err) == errs.NotFound {
		err = errs.Hint(errs.Errorf(errs.Untrusted, "this machine has no root of trust to check against"),
			"--root FINGERPRINT, as overland trust show prints it where the file was sealed")
	}
	return fp, err
}

func replay(ctx context.Context, t *term.Term, s session.Options) error {
	_, _, err := record.Replay(ctx, t, s, session.Holder{
		Name:    "the file",
		Missing: "where there is a network: overland record -- COMMAND, commit overland.lock, release and seal again",
		Damaged: "copy it to another disk, and try again",
	})
	return err
}

// rebuild builds what was opened and compares the result with the release.
func rebuild(ctx context.Context, t *term.Term, s session.Options, opened *operator.Opened, asJSON bool) error {
	self, err := executable()
	if err != nil {
		return err
	}
	out := &fsx.Beginning{Most: 8 << 20} // what is built says what it likes
	s.Command, s.Stdout = []string{self, "build", "--json", "--as-released"}, out
	for _, p := range opened.Platforms() {
		s.Command = append(s.Command, "--platform", string(p))
	}
	if t.Quiet {
		s.Command = append(s.Command, "--quiet")
	}
	if err := replay(ctx, t, s); err != nil {
		return err
	}
	var built release.Built
	if err := json.Unmarshal(out.Bytes(), &built); err != nil {
		return fmt.Errorf("result of overland build: %w", err)
	}
	return compare(t, opened, built, asJSON)
}

// executable returns the path of this program, as it was called.
func executable() (string, error) {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return os.Executable()
	}
	return filepath.Abs(path)
}

// rebuiltJSON is the result of open --json.
type rebuiltJSON struct {
	Release   string                `json:"release"`
	Identical bool                  `json:"identical"`
	Artifacts []rebuiltArtifactJSON `json:"artifacts"`
}

type rebuiltArtifactJSON struct {
	Name     string            `json:"name"`
	Platform platform.Platform `json:"platform"`
	Released digest.Digest     `json:"released"`
	Built    digest.Digest     `json:"built,omitempty"`
}

func compare(t *term.Term, opened *operator.Opened, built release.Built, asJSON bool) error {
	out := rebuiltJSON{Release: opened.Ref().String(), Identical: true}
	var rows [][]string
	var bad []string
	for _, r := range opened.Artifacts {
		j := rebuiltArtifactJSON{Name: r.Name, Platform: r.Platform, Released: r.Blob.Digest}
		at := slices.IndexFunc(built.Programs, func(p release.Program) bool { return p.Name == r.Name && p.Platform == r.Platform })
		if at >= 0 {
			j.Built = built.Programs[at].Digest
		}
		verdict := "identical"
		if j.Built != j.Released {
			verdict, out.Identical = "different", false
			bad = append(bad, fmt.Sprintf("%s for %s is %s, the release has %s", r.Name, r.Platform, orNothing(j.Built), j.Released))
		}
		out.Artifacts = append(out.Artifacts, j)
		rows = append(rows, []string{r.Name, string(r.Platform), verdict, string(j.Released)})
	}
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

func orNothing(d digest.Digest) string {
	if d == "" {
		return "not built"
	}
	return string(d)
}
