package volume

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/nodeapi"
	"overland/internal/operator"
	"overland/internal/progress"
	"overland/internal/trust"
)

// inspectOptions are the settings of inspect.
type inspectOptions struct {
	what    string // a release, a volume or a program
	modules bool
	json    bool
}

func inspect(t *term.Term, run verb.Run[inspectOptions]) *cobra.Command {
	var o inspectOptions
	c := &cobra.Command{
		Use:   "inspect RELEASE|VOLUME|FILE",
		Short: "Show what is inside a release, a volume or a file",
		Long: "Shows artifacts, platforms, sizes, toolchain, Go modules, the packages of root file systems and images, who signed\n" +
			"what, and how it was built. FILE may be a Go program or the tar of a root file system. A volume is\n" +
			"read in place, and its signatures are checked against the root that it carries itself: compare the\n" +
			"fingerprint, or use overland volume verify --root.",
		Example: "overland inspect wallet@r412.abcdef012345\noverland inspect live.volume\noverland inspect live.volume --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.what = args[0]
			return run(c.Context(), t, o)
		},
	}
	verb.JSONFlag(c, &o.json)
	c.Flags().BoolVar(&o.modules, "modules", true, "list the Go modules and packages")
	return c
}

func runInspect(ctx context.Context, t *term.Term, o inspectOptions) error {
	var names map[string]string
	in, err := sitedir.Maybe(t, func(p *operator.Operator) (*nodeapi.Inspection, error) {
		if p != nil {
			names = p.KeyNames()
		}
		return p.Inspect(ctx, o.what)
	})
	if err != nil {
		return err
	}
	if o.json {
		return t.JSON(in)
	}
	t.Printf("%s %s, %s\n", in.Kind, in.Name, progress.Bytes(in.Size))
	if in.Program != nil {
		t.Printf("digest     %s\nbuilt with %s from %s\n", in.Program.Digest, in.Program.Go, in.Program.Package)
		printModules(t, in.Program.Modules)
	}
	if in.Root != nil {
		printRoot(t, in.Root)
	}
	if in.Channel != "" {
		t.Printf("channel    %s\n", in.Channel)
	}
	for _, r := range in.Releases {
		printRelease(t, r, o.modules, names)
	}
	if in.Signed != nil {
		printSigned(t, in.Signed, in.Kind, names)
	}
	return nil
}

func printRelease(t *term.Term, r nodeapi.Release, modules bool, names map[string]string) {
	t.Printf("\n%s@%s\n", r.App, r.Version)
	field(t, "digest", string(r.Digest))
	field(t, "commit", r.Commit)
	if r.Dirty {
		field(t, "source", "the folder as it was on top of that commit (--dirty): nobody can build it again")
	}
	if !r.Committed.IsZero() {
		field(t, "committed", term.When(r.Committed))
	}
	field(t, "toolchain", r.Toolchain)
	field(t, "services", strings.Join(r.Services, ", "))
	field(t, "commands", strings.Join(r.Commands, ", "))
	for _, a := range r.Runs {
		field(t, "runs", a)
	}
	for _, a := range r.Asks {
		field(t, "asks for", a)
	}
	field(t, "channels", strings.Join(r.Channels, ", "))
	field(t, "NOT VALID", r.Problem)
	if r.Inputs != nil {
		field(t, "inputs", inputsText(r.Inputs))
	}
	if len(r.Provenance) > 0 {
		field(t, "provenance", "signed by "+strings.Join(named(r.Provenance, names), ", "))
	}
	if r.Unproved != "" {
		field(t, "provenance", "does NOT hold: "+r.Unproved)
	}
	var rows [][]string
	for _, p := range r.Artifacts {
		where := string(p.Digest)
		if !p.Present {
			where += " (left out)"
		}
		rows = append(rows, []string{p.Name, string(p.Platform), progress.Bytes(p.Size), cmp.Or(p.Isolation, "-"), where})
	}
	t.Table("  ", "ARTIFACT PLATFORM SIZE ISOLATION DIGEST", rows)
	if modules {
		printReleaseModules(t, r)
		for _, a := range r.Artifacts {
			if a.Root != nil {
				t.Printf("  packages of %s (%s):\n", a.Name, a.Platform)
				printRoot(t, a.Root)
			}
		}
	}
}

// printRoot prints what a scanner would find in a root file system.
func printRoot(t *term.Term, r *nodeapi.Root) {
	t.Printf("    %s\n", cmp.Or(r.Distribution, "no distribution is named"))
	for _, url := range r.Packages {
		t.Printf("    %s\n", url)
	}
	for _, cut := range r.Without {
		t.Printf("    %s\n", cut)
	}
}

// inputsText returns in in one line: "42 blobs, 81.5 MiB: source 1.2 MiB; go 40 entries, 80.3 MiB".
func inputsText(in *nodeapi.Inputs) string {
	if in.Blobs == 0 && in.Bytes == 0 {
		return string(in.Digest) + " (left out)"
	}
	text := fmt.Sprintf("%s, %s: source %s", progress.Count(in.Blobs, "blob", "blobs"), progress.Bytes(in.Bytes), progress.Bytes(in.Source))
	for _, p := range in.Protocols {
		text += fmt.Sprintf("; %s %s, %s", p.Name, progress.Count(p.Entries, "entry", "entries"), progress.Bytes(p.Bytes))
	}
	if !in.Present {
		text += " (not all of it is there)"
	}
	return text
}

// field prints one line of a release's details; nothing for an empty value.
func field(t *term.Term, name, value string) {
	if value != "" {
		t.Printf("  %-10s %s\n", name, value)
	}
}

// printReleaseModules prints the modules of each artifact once: they are the
// same on every platform as a rule.
func printReleaseModules(t *term.Term, r nodeapi.Release) {
	seen := make(map[string]bool)
	for _, p := range r.Artifacts {
		if len(p.Modules) == 0 || seen[p.Name+fmt.Sprint(p.Modules)] {
			continue
		}
		seen[p.Name+fmt.Sprint(p.Modules)] = true
		t.Printf("  modules of %s (%s):\n", p.Name, p.Platform)
		printModules(t, p.Modules)
	}
}

func printModules(t *term.Term, list []nodeapi.Module) {
	for _, m := range list {
		text := strings.TrimSpace(m.Path + " " + m.Version)
		if m.Replace != "" {
			text += " => " + m.Replace
		}
		t.Printf("    %s\n", text)
	}
}

func printSigned(t *term.Term, s *nodeapi.Signed, kind string, names map[string]string) {
	signed := "signed at"
	if kind == "volume" {
		signed = "sealed at"
	}
	t.Printf("\nroot fingerprint  %s\n                  %s\n", s.Fingerprint, trust.Fingerprint(s.Fingerprint).Groups())
	t.Printf("%s         %s, expires %s\n", signed, term.When(s.SealedAt), term.When(s.Expires))
	var rows [][]string
	for _, r := range s.Roles {
		rows = append(rows, []string{r.Name, fmt.Sprint(r.Version), term.When(r.Expires), strings.Join(named(r.SignedBy, names), ", ")})
	}
	t.Table("", "ROLE VERSION EXPIRES SIGNED", rows)
	if s.Problem != "" {
		t.Printf("\nthe signatures do NOT hold: %s\n", s.Problem)
	}
}

// named returns key ids as people read them: "targets (3f0123456789)"
// for a key that this machine has.
func named(ids []string, names map[string]string) []string {
	list := make([]string, 0, len(ids))
	for _, id := range ids {
		text := term.Short(id)
		if name := names[id]; name != "" {
			text = name + " (" + text + ")"
		}
		list = append(list, text)
	}
	return list
}
