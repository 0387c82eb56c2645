package cache

import (
	"net/url"
	"strings"

	"overland/internal/cache"
	"overland/internal/ecosystem"
	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
)

// Lines returns a line of shell for each protocol that a site's cache can speak. Run on a
// machine, it points that protocol's tool at the cache at base, an http or https URL, as
// of the named freeze ("" = none).
func Lines(base, freeze string) ([]string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.ContainsAny(base, " '\"$`\\") {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "cache %q", base), "write it like http://10.0.0.1:3142")
	}
	if freeze != "" && !cache.ValidName(freeze) {
		return nil, errs.Errorf(errs.Invalid, "freeze %q", freeze)
	}
	return ecosystem.Lines(tool.Face{Base: strings.TrimRight(base, "/"), Freeze: freeze}), nil
}
