package verb

import (
	"slices"
	"strconv"
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
	c.Flags().BoolVar(&o.Dirty, "dirty", false, "build the folder as it is, with what git ignores; the version says so")
	IsolationFlag(c, &o.Isolation)
}

// IsolationFlag adds --isolation.
func IsolationFlag(c *cobra.Command, i *cell.Isolation) {
	c.Flags().StringVar((*string)(i), "isolation", "", "full, or none: what the repository runs sees and changes all that you can, and a release records it (default full)")
	values := []string{string(cell.Full), string(cell.None)}
	_ = c.RegisterFlagCompletionFunc("isolation", cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// here is the platform that --single-target stands for, until it is parsed.
const here = "this machine"

// PlatformFlag adds --platform, which may be repeated or hold a list, and --single-target.
func PlatformFlag(c *cobra.Command, list *[]string) {
	c.Flags().StringSliceVar(list, "platform", nil, "only these, as linux/arm/v6; may be repeated (default: all)")
	c.Flags().BoolFunc("single-target", "only the platform of this machine", func(s string) error {
		only, err := strconv.ParseBool(s)
		if only {
			*list = append(*list, here)
		}
		return err
	})
	c.MarkFlagsMutuallyExclusive("platform", "single-target")
	_ = c.RegisterFlagCompletionFunc("platform", cobra.FixedCompletions(platformNames(), cobra.ShellCompDirectiveNoFileComp))
}

// JobsFlag adds -j.
func JobsFlag(c *cobra.Command, jobs *int) {
	c.Flags().IntVarP(jobs, "jobs", "j", 1, "programs built at the same time")
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
		if s == here {
			p, err = platform.Here()
			err = errs.Hint(err, "--platform names one")
		}
		if err != nil {
			return nil, errs.E(errs.Invalid, err)
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out, nil
}
