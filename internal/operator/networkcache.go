package operator

import (
	"errors"
	"fmt"
	"io/fs"

	"overland/internal/builder"
	"overland/internal/builder/shared"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/netcache"
	"overland/internal/netcache/client"
	"overland/internal/session"
)

const (
	// NoNetworkCache as BuildOptions.NetworkCache does without the site's own.
	NoNetworkCache = "none"
)

// NetcacheState returns where a site directory remembers the newest entries of
// network caches that it has used.
func NetcacheState(dir string) string { return home.Seen.In(dir) }

// shared returns the binary cache that builds of src use, nil for none, and what ends its use.
func (p *Operator) shared(o BuildOptions, src *Source) (builder.Shared, func(), error) {
	none := func() {}
	// What a session records must be asked for, and a replay reaches nothing else.
	if o.NetworkCache == NoNetworkCache || session.Kind(p.env()) != "" {
		return nil, none, nil
	}
	path := o.NetworkCache
	if path == "" {
		path = home.SharedCache.In(p.dir)
	}
	f, err := fsx.Open(path)
	if errors.Is(err, fs.ErrNotExist) && o.NetworkCache == "" {
		return nil, none, nil
	}
	if err != nil {
		return nil, none, errs.Hint(errs.E(errs.Invalid, err), "--network-cache FILE: a configuration with a section [networkcache]")
	}
	defer f.Close()
	config, err := netcache.ParseConfig(f)
	if err != nil {
		return nil, none, fmt.Errorf("%s: %w", path, err)
	}
	reads := config.DownloadBinaryCacheURL != "" && config.OverlandKeyList != ""
	writes := config.UploadBinaryCacheURL != "" && config.OverlandPrivateKeyFile != ""
	if !reads && !writes {
		return nil, none, errs.Hint(errs.Errorf(errs.Invalid, "%s: nothing to take results from or to share them with", path),
			"to take them: download-binary-cache-url and overland-key-list; to share them: upload-binary-cache-url and overland-private-key-file")
	}
	c, err := client.New(config, client.Options{Binary: true, State: NetcacheState(p.dir), Clock: p.o.Clock, FS: p.o.FS})
	if err != nil {
		return nil, none, fmt.Errorf("%s: %w", path, err)
	}
	for _, w := range c.Warnings() {
		p.say.Warn(w)
	}
	return shared.NewResults(c, p.depot, shared.ResultsOptions{
		Source: src.Repo.Origin, Temp: home.Work.In(p.dir),
		Download: config.DownloadBlacklist, Upload: config.UploadBlacklist, Force: config.ForceList,
		ReadOnly: !writes, WriteOnly: !reads, Say: p.say.Warn,
	}), c.Close, nil
}
