package follow

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"overland/internal/agent/stage"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/volume"
)

// OpenSource opens what a person named: a volume file or its first part, a depot directory, a site
// URL. The caller calls the returned function when it is done with it.
func OpenSource(name string) (stage.Source, func() error, error) {
	nothing := func() error { return nil }
	if strings.HasPrefix(name, "https://") {
		s, err := fetch.Site(name, fetch.SiteOptions{})
		if err != nil {
			return nil, nil, err
		}
		return s, func() error { s.CloseIdleConnections(); return nil }, nil
	}
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		d, err := fetch.Dir(name)
		if err != nil {
			return nil, nil, err
		}
		return d, nothing, nil
	}
	v, err := volume.Open(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && errs.KindOf(err) == errs.Internal {
			err = errs.E(errs.NotFound, err)
		}
		return nil, nil, err
	}
	return v, v.Close, nil
}
