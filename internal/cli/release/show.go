package release

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/digest"
	"overland/internal/operator"
	"overland/internal/operator/holdings"
	"overland/internal/platform"
	"overland/internal/progress"
	rel "overland/internal/release"
)

type showOptions struct {
	release string
	json    bool
}

func show(t *term.Term, run verb.Run[showOptions]) *cobra.Command {
	var o showOptions
	c := &cobra.Command{
		Use:   "show APP@VERSION",
		Short: "Show a release: what it is made of and what needs it",
		Long: "Shows the commit and the repository of a signed release, its programs with their digests, what it takes in the\n" +
			"depot, and which channels run it, fall back to it or can return to it. A program can be compared with sha256sum.",
		Example:           "overland release show wallet@r412.abcdef012345\noverland release show wallet@r412.abcdef012345 --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: sitedir.Complete(t, 1, sitedir.Releases),
		RunE: func(c *cobra.Command, args []string) error {
			o.release = args[0]
			return run(c.Context(), t, o)
		},
	}
	verb.JSONFlag(c, &o.json)
	return c
}

// shownJSON is the result of release show --json.
type shownJSON struct {
	heldJSON
	Commit     string         `json:"commit,omitempty"`
	Repository string         `json:"repository,omitempty"` // hash of the first commit of its history
	Toolchain  string         `json:"toolchain,omitempty"`
	Inputs     digest.Digest  `json:"inputs,omitempty"` // of the list of what it was built from
	Services   []string       `json:"services"`
	Artifacts  []artifactJSON `json:"artifacts"`
}

type artifactJSON struct {
	Name     string            `json:"name"`
	Platform platform.Platform `json:"platform"`
	Digest   digest.Digest     `json:"digest"`
	Size     int64             `json:"size"`
}

func runShow(ctx context.Context, t *term.Term, o showOptions) error {
	ref, err := rel.ParseRef(o.release)
	if err != nil {
		return err
	}
	s, err := sitedir.Call(t, func(p *operator.Operator) (*holdings.Shown, error) {
		h, err := p.Holdings(ctx)
		if err != nil {
			return nil, err
		}
		return h.Show(ctx, ref)
	})
	if err != nil {
		return err
	}
	out := shownJSON{heldJSON: newHeld(s.Held), Repository: s.Repository, Services: []string{}, Artifacts: []artifactJSON{}}
	var rows [][]string
	if r := s.Release; r != nil {
		out.Commit, out.Toolchain = r.Commit, r.Toolchain
		for name := range r.Services {
			out.Services = append(out.Services, name)
		}
		slices.Sort(out.Services)
		if r.Inputs != nil {
			out.Inputs = r.Inputs.Digest
		}
		for i, a := range r.Artifacts {
			out.Artifacts = append(out.Artifacts, artifactJSON{a.Name, a.Platform, a.Blob.Digest, s.Sizes[i]})
			rows = append(rows, []string{a.Name, string(a.Platform), progress.Bytes(s.Sizes[i]), string(a.Blob.Digest)})
		}
	}
	if o.json {
		return t.JSON(out)
	}
	const head = "release %s\ndigest %s\ncommit %s, %s\nrepository begins with commit %s\nservices: %s\ntakes %s, of which %s no other release has\nneeded by: %s\n"
	t.Printf(head, ref, s.Digest, cmp.Or(out.Commit, "-"), term.When(s.Committed), cmp.Or(out.Repository, "-"),
		cmp.Or(strings.Join(out.Services, ", "), "none"), progress.Bytes(s.Size), progress.Bytes(s.Alone), cmp.Or(strings.Join(out.Held, ", "), "nothing"))
	t.Table("", "ARTIFACT PLATFORM SIZE DIGEST", rows)
	if s.Problem != "" {
		t.Warn(ref.String() + " cannot be read: " + s.Problem)
	}
	return nil
}
