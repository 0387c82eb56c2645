package cli

import (
	"cmp"
	"context"
	"runtime"
	"runtime/debug"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"

	"github.com/spf13/cobra"
)

// versionJSON is the result of version --json.
type versionJSON struct {
	Version  string `json:"version"` // "r412.abcdef012345", or "devel"
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// text returns v on one line, without the program's name.
func (v versionJSON) text() string { return v.Version + " " + v.Go + " " + v.Platform }

// versionOptions are the settings of version.
type versionOptions struct{ json bool }

func version(t *term.Term, run verb.Run[versionOptions]) *cobra.Command {
	var o versionOptions
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print this program's version",
		Long:    "Prints the version, the revision that it was built from, and the toolchain.",
		Example: "overland version\noverland version --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), t, o) },
	}
	verb.JSONFlag(c, &o.json)
	return c
}

func runVersion(_ context.Context, t *term.Term, o versionOptions) error {
	v := readVersion()
	if o.json {
		return t.JSON(v)
	}
	t.Printf("overland %s\n", v.text())
	return nil
}

// programVersion is set by the linker: -X overland/internal/cli.programVersion=r412.abcdef012345.
var programVersion string

func readVersion() versionJSON {
	v := versionJSON{Version: cmp.Or(programVersion, "devel"), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
			v.Version = cmp.Or(programVersion, term.Short(s.Value))
		}
	}
	return v
}
