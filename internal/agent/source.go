package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/release"
	"overland/internal/trust"
	"overland/internal/volume"
)

// OpenSource opens what a person named: a volume file or its first part, a depot directory, a site URL. The caller
// calls the returned function when it is done with it.
func OpenSource(name string) (Source, func() error, error) {
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

// live reports whether src can be asked whether there is newer metadata now. Others are judged at the time at which they
// were sealed.
func live(src Source) bool {
	if l, ok := src.(interface{ Live() bool }); ok {
		return l.Live()
	}
	_, ok := src.(*fetch.SiteSource)
	return ok
}

// OfferedRoot returns the fingerprint of the newest root that src offers, for a person to compare. It is not trusted.
func OfferedRoot(ctx context.Context, src Source) (trust.Fingerprint, error) {
	var newest []byte
	for version := int64(1); version <= 1<<10; version++ {
		b, err := src.Metadata(ctx, trust.WireName("root", version), trust.MaxRoot)
		if errors.Is(err, fs.ErrNotExist) {
			break // a source carries every root from the first
		}
		if err != nil {
			return "", fmt.Errorf("%s: read root: %w", src.Name(), err)
		}
		newest = b
	}
	if newest == nil {
		return "", errs.Errorf(errs.NotFound, "%s: offers no root of trust", src.Name())
	}
	return trust.FingerprintOf(newest)
}

// onlyChannel returns the one channel whose metadata src carries.
func onlyChannel(src Source) (string, error) {
	var found []string
	if l, ok := src.(interface{ MetadataNames() []string }); ok {
		for _, name := range l.MetadataNames() {
			if c := release.MetadataChannel(name); c != "" && !slices.Contains(found, string(c)) {
				found = append(found, string(c))
			}
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", errs.Hint(errs.Errorf(errs.Invalid, "%s: the channel to follow is not known", src.Name()), "name it: --channel live")
	}
	return "", errs.Hint(errs.Errorf(errs.Invalid, "%s: carries several channels: %s", src.Name(), strings.Join(found, ", ")),
		"name the one to follow: --channel %s", found[0])
}

// volumeFiles returns what may be a volume or depot among what pattern matches and, for a directory, what it holds.
func volumeFiles(pattern string) []string {
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		return nil
	}
	var list []string
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "oci-layout")); err == nil {
			list = append(list, dir)
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if name := e.Name(); strings.HasSuffix(name, ".volume") || strings.HasSuffix(name, ".volume.001") {
				list = append(list, filepath.Join(dir, name))
			}
		}
	}
	return list
}

// signature returns what tells that the volume or depot at path has changed: the size of all its parts together, and
// when the newest of them was written. ok is false when it is gone.
func signature(path string) (size int64, newest time.Time, ok bool) {
	paths := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		paths = []string{filepath.Join(path, "trust", "timestamp.json")}
	} else if base, split := strings.CutSuffix(path, ".001"); split {
		if parts, err := filepath.Glob(base + ".*"); err == nil {
			paths = parts
		}
	}
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil {
			ok = true
			size += info.Size()
			if info.ModTime().After(newest) {
				newest = info.ModTime()
			}
		}
	}
	return size, newest, ok
}
