package site

import (
	"context"
	"fmt"
	"strings"

	"overland/internal/ecosystem/apk"
	"overland/internal/record"
)

// openAPK opens apk's protocol: the repositories that were given, "URL" or "[keys=/FOLDER] URL", else this machine's.
func openAPK(_ context.Context, o opening) (record.Protocol, error) {
	var list []apk.Repository
	for _, own := range o.own {
		r, err := apk.ParseRepository(own)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	if len(list) == 0 {
		var err error
		if list, err = apk.MachineRepositories(""); err != nil {
			return nil, err
		}
	}
	return apk.New(list, o.keeper)
}

// envAPK puts the cache before each URL in the repositories file, in place of a cache that was put there before.
func envAPK(f face) string {
	mount := f.mount(apk.Name) + "/"
	_, address, _ := strings.Cut(f.base, "://")
	before := pattern(address) + "(/at/[^/]+)?/" + apk.Name + "/"
	return fmt.Sprintf(`sed -i -E '/^(@[^ ]+ +)?https?:/s#https?://(%s)?#%s#' /etc/apk/repositories && apk update`,
		before, strings.ReplaceAll(mount, "&", `\&`))
}

// pattern returns an extended regular expression that matches s, which has no backslash, alone; where it can, without a
// backslash, which the echo of some shells would read.
func pattern(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '^':
			b.WriteString(`\^`)
		case strings.ContainsRune(".[]$*+?(){}|", r):
			b.WriteString("[" + string(r) + "]")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
