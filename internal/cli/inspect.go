package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/nodeapi"
	"overland/internal/operator"
	"overland/internal/progress"
	"overland/internal/trust"
)

func (a *app) inspect() *cobra.Command {
	var asJSON, modules bool
	c := &cobra.Command{
		Use:   "inspect RELEASE|VOLUME|FILE",
		Short: "Show what is inside a release, a volume or a program",
		Long: "Shows artifacts, platforms, sizes, toolchain, Go modules and their versions, and who signed what. A volume is\n" +
			"read in place, and its signatures are checked against the root that it carries itself: compare the\n" +
			"fingerprint, or use overland volume verify --root.",
		Example: "overland inspect wallet@r412.abcdef012345\noverland inspect live.volume\noverland inspect live.volume --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runInspect(c.Context(), args[0], asJSON, modules)
		},
	}
	jsonFlag(c, &asJSON)
	c.Flags().BoolVar(&modules, "modules", true, "list the Go modules")
	return c
}

func (a *app) runInspect(ctx context.Context, what string, asJSON, modules bool) error {
	var names map[string]string
	in, err := call(a, func(p *operator.Pipeline) (*nodeapi.Inspection, error) {
		names = p.KeyNames()
		return p.Inspect(ctx, what)
	})
	if errors.Is(err, operator.ErrNoSite) && !strings.Contains(what, "@") {
		in, err = operator.InspectFile(ctx, what)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(in)
	}
	a.printf("%s %s, %s\n", in.Kind, in.Name, progress.Bytes(in.Size))
	if in.Program != nil {
		a.printf("digest     %s\nbuilt with %s from %s\n", in.Program.Digest, in.Program.Go, in.Program.Package)
		a.printModules(in.Program.Modules)
	}
	if in.Channel != "" {
		a.printf("channel    %s\n", in.Channel)
	}
	for _, r := range in.Releases {
		a.printRelease(r, modules)
	}
	if in.Signed != nil {
		a.printSigned(in.Signed, in.Kind, names)
	}
	return nil
}

func (a *app) printRelease(r nodeapi.Release, modules bool) {
	a.printf("\n%s@%s\n", r.App, r.Version)
	a.field("digest", string(r.Digest))
	a.field("commit", r.Commit)
	if !r.Committed.IsZero() {
		a.field("committed", when(r.Committed))
	}
	a.field("toolchain", r.Toolchain)
	a.field("services", strings.Join(r.Services, ", "))
	a.field("channels", strings.Join(r.Channels, ", "))
	if r.Inputs != nil {
		a.field("inputs", inputsText(r.Inputs))
	}
	var rows [][]string
	for _, p := range r.Artifacts {
		where := string(p.Digest)
		if !p.Present {
			where += " (left out)"
		}
		rows = append(rows, []string{p.Name, string(p.Platform), progress.Bytes(p.Size), where})
	}
	a.table("  ", "ARTIFACT PLATFORM SIZE DIGEST", rows)
	if modules {
		a.printReleaseModules(r)
	}
}

// inputsText returns in in one line: "42 blobs, 81.5 MB: source 1.2 MB; go 40 entries, 80.3 MB".
func inputsText(in *nodeapi.Inputs) string {
	if in.Blobs == 0 && in.Bytes == 0 {
		return string(in.Digest) + " (left out)"
	}
	text := fmt.Sprintf("%s, %s: source %s", plural(in.Blobs, "blob", "blobs"), progress.Bytes(in.Bytes), progress.Bytes(in.Source))
	for _, p := range in.Protocols {
		text += fmt.Sprintf("; %s %s, %s", p.Name, plural(p.Entries, "entry", "entries"), progress.Bytes(p.Bytes))
	}
	if !in.Present {
		text += " (not all of it is there)"
	}
	return text
}

// field prints one line of a release's details; nothing for an empty value.
func (a *app) field(name, value string) {
	if value != "" {
		a.printf("  %-10s %s\n", name, value)
	}
}

// printReleaseModules prints the modules of each artifact once: they are the same on every platform as a rule.
func (a *app) printReleaseModules(r nodeapi.Release) {
	seen := make(map[string]bool)
	for _, p := range r.Artifacts {
		if len(p.Modules) == 0 || seen[p.Name+fmt.Sprint(p.Modules)] {
			continue
		}
		seen[p.Name+fmt.Sprint(p.Modules)] = true
		a.printf("  modules of %s (%s):\n", p.Name, p.Platform)
		a.printModules(p.Modules)
	}
}

func (a *app) printModules(list []nodeapi.Module) {
	for _, m := range list {
		text := strings.TrimSpace(m.Path + " " + m.Version)
		if m.Replace != "" {
			text += " => " + m.Replace
		}
		a.printf("    %s\n", text)
	}
}

func (a *app) printSigned(s *nodeapi.Signed, kind string, names map[string]string) {
	signed := "signed at"
	if kind == "volume" {
		signed = "sealed at"
	}
	a.printf("\nroot fingerprint  %s\n                  %s\n", s.Fingerprint, trust.Fingerprint(s.Fingerprint).Groups())
	a.printf("%s         %s, expires %s\n", signed, when(s.SealedAt), when(s.Expires))
	var rows [][]string
	for _, r := range s.Roles {
		rows = append(rows, []string{r.Name, fmt.Sprint(r.Version), when(r.Expires), strings.Join(named(r.SignedBy, names), ", ")})
	}
	a.table("", "ROLE VERSION EXPIRES SIGNED", rows)
	if s.Problem != "" {
		a.printf("\nthe signatures do NOT hold: %s\n", s.Problem)
	}
}

// named returns key ids as people read them: "targets (3f0123456789)" for a key that this machine has.
func named(ids []string, names map[string]string) []string {
	list := make([]string, 0, len(ids))
	for _, id := range ids {
		const short = 12
		text := id[:min(short, len(id))]
		if name := names[id]; name != "" {
			text = name + " (" + text + ")"
		}
		list = append(list, text)
	}
	return list
}
