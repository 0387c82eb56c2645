package verb

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/confine/cell"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/platform"
)

// SourceFlags adds the flags that choose what is built.
func SourceFlags(c *cobra.Command, o *operator.SourceOptions) {
	c.Flags().StringVar(&o.Rev, "rev", "", "branch, tag or hash to build (default: HEAD, when the folder is as committed)")
	c.Flags().BoolVar(&o.Dirty, "dirty", false, "build the folder as it is; the version says so")
	IsolationFlag(c, &o.Isolation)
}

// IsolationFlag adds --isolation.
func IsolationFlag(c *cobra.Command, i *cell.Isolation) {
	c.Flags().StringVar((*string)(i), "isolation", "", "full, or none: what the repository runs sees and changes all that you can, and a release records it (default full)")
	values := []string{string(cell.Full), string(cell.None)}
	_ = c.RegisterFlagCompletionFunc("isolation", cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// PlatformFlag adds --platform, which may be repeated or hold a list.
func PlatformFlag(c *cobra.Command, list *[]string) {
	c.Flags().StringSliceVar(list, "platform", nil, "only these, as linux/arm/v6; may be repeated (default: all)")
	_ = c.RegisterFlagCompletionFunc("platform", cobra.FixedCompletions(platformNames(), cobra.ShellCompDirectiveNoFileComp))
}

func platformNames() []string {
	var list []string
	for _, p := range platform.All() {
		list = append(list, string(p))
	}
	return list
}

// ParsePlatforms returns the platforms in list, in listing order, each once.
func ParsePlatforms(list []string) ([]platform.Platform, error) {
	var out []platform.Platform
	for _, s := range list {
		p, err := platform.Parse(strings.TrimSpace(s))
		if err != nil {
			return nil, errs.E(errs.Invalid, err)
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out, nil
}
