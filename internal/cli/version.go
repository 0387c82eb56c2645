package cli

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionJSON is the result of version --json.
type versionJSON struct {
	Version  string `json:"version"` // "r412.abcdef012345", or "devel"
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) version() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print this program's version",
		Long:    "Prints the version, the revision that it was built from, and the toolchain.",
		Example: "overland version\noverland version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := readVersion()
			if asJSON {
				return a.printJSON(v)
			}
			a.printf("overland %s %s %s\n", v.Version, v.Go, v.Platform)
			return nil
		},
	}
	jsonFlag(c, &asJSON)
	return c
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
			v.Version = cmp.Or(programVersion, short(s.Value))
		}
	}
	return v
}
