package shared

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"overland/internal/builder/tree"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/netcache"
	"overland/internal/netcache/client"
	"overland/internal/platform"
)

// relocatableField says that a tree runs at any place. One without it
// runs only at its software_root.
const relocatableField = "relocatable"

// TreeOptions says what is shared and how.
type TreeOptions struct {
	URL      string            // of the software release
	Host     platform.Host     // this machine's kind
	List     netcache.Prefixes // URLs that are never uploaded, or never installed
	Mutable  bool              // upload: what a branch had today, for good
	Prefixes []string          // upload: other paths that the software was built for
	Old      bool              // install: also what clients made that say nothing of libc and CPU
	Temp     string            // upload: folder for the archive; "" = the machine's
}

// Uploaded is a tree in the cache.
type Uploaded struct {
	client.Uploaded
	Tree tree.Packed
}

// UploadTree packs the folder dir and uploads it for machines of the kind o.Host. A URL that is on
// the list, may have other content tomorrow, or holds a password or a token is refused
// (errs.Denied, errs.Invalid), and so is a tree that would not run elsewhere (errs.Invalid).
func UploadTree(ctx context.Context, c *client.Client, dir string, o TreeOptions) (up Uploaded, err error) {
	if err := o.uploadable(); err != nil {
		return up, err
	}
	const mode = 0o600
	f, err := (fsx.FS{}).Nameless(o.Temp, mode)
	if err != nil {
		return up, err
	}
	defer f.Close()
	key := netcache.MD5(o.URL)
	if up.Tree, err = tree.Pack(ctx, f, dir, tree.PackOptions{Top: key, Prefixes: o.Prefixes}); err != nil {
		return up, err
	}
	root, err := filepath.Abs(dir)
	if err != nil {
		return up, err
	}
	fields := map[string]any{
		"software_url": o.URL, "software_root": filepath.Dir(root), relocatableField: true,
		"entries": up.Tree.Entries, "unpacked_size": up.Tree.Size,
	}
	addKind(fields, o.Host)
	up.Uploaded, err = c.Upload(ctx, f, key, fields)
	return up, err
}

func (o TreeOptions) uploadable() error {
	if !o.Host.Runs(o.Host) {
		return errs.Errorf(errs.Invalid, "the kind of this machine is unknown (%s), so nobody could use what it uploads", o.Host)
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return errs.Hint(errs.Errorf(errs.Invalid, "%q is not the URL of a software release", o.URL), "http://… or https://…")
	}
	if err := netcache.CheckPublic(o.URL); err != nil {
		return err
	}
	if prefix, blocked := o.List.Match(o.URL); blocked {
		return errs.Hint(errs.Errorf(errs.Denied, "%s is on the list upload-to-binary-cache-url-blacklist", httpx.RedactedText(o.URL)), "take %s off that list", prefix)
	}
	if err := netcache.CheckPinned(o.URL); err != nil && !o.Mutable {
		return errs.Hint(err, "name a tag or a commit, or give --mutable")
	}
	return nil
}

// Installed is a tree that came from the cache.
type Installed struct {
	client.Found
	Kind platform.Host // that it was built on
	Size int64         // bytes of the archive
}

// InstallTree makes the folder dest from the best entry for o.URL that o.Host runs; dest appears
// whole or not at all, and must not be there. When there are only entries for other kinds of
// machines, the error (errs.NotFound) lists them.
func InstallTree(ctx context.Context, c *client.Client, dest string, o TreeOptions) (in Installed, err error) {
	if prefix, blocked := o.List.Match(o.URL); blocked {
		return in, errs.Hint(errs.Errorf(errs.Denied, "%s is on the list download-from-binary-cache-url-blacklist", httpx.RedactedText(o.URL)), "take %s off that list", prefix)
	}
	if dest, err = filepath.Abs(dest); err != nil {
		return in, err
	}
	if _, err := os.Lstat(dest); err == nil { // before anybody is asked
		return in, errs.Hint(errs.Errorf(errs.Conflict, "%s exists already", dest), "name a folder that does not exist yet")
	}
	all, err := Trees(ctx, c, o)
	if err != nil {
		return in, err
	}
	fit, err := fitting(o.Host, all)
	if err != nil {
		return in, errs.Hint(fmt.Errorf("%s: %w", o.URL, err), "build it on a machine of this kind, and upload it from there")
	}
	if fit, err = placed(fit, dest, netcache.MD5(o.URL)); err != nil {
		return in, err
	}
	return install(ctx, c, fit, dest, o)
}

// Trees returns the entries for o.URL that are believed, those that o.Host runs first. The error is
// errs.NotFound when there are none.
func Trees(ctx context.Context, c *client.Client, o TreeOptions) ([]Offer, error) {
	list, err := c.Select(ctx, netcache.MD5(o.URL), nil)
	if errs.KindOf(err) == errs.NotFound {
		err = errs.Hint(errs.Errorf(errs.NotFound, "the binary cache has nothing for %s", o.URL), "build it, or upload it: overland binary upload")
	}
	if err != nil {
		return nil, err
	}
	// Two URLs may have one md5; what was signed says which it was.
	found := slices.DeleteFunc(list.Found, func(f client.Found) bool {
		said := f.Text("software_url")
		return said != o.URL && (said != "" || f.Statement != nil)
	})
	return offers(o.Host, found, o.Old), nil
}

// placed returns those of list that may stand at dest.
func placed(list []client.Found, dest, key string) (fit []client.Found, err error) {
	for _, f := range list {
		root := f.Text("software_root")
		if anywhere, _ := f.Fields[relocatableField].(bool); anywhere || (root != "" && filepath.Join(root, key) == dest) {
			fit = append(fit, f)
		} else if err == nil {
			err = errs.Hint(errs.Errorf(errs.Denied, "it was built to stand in %s and nowhere else", filepath.Join(root, key)), "install it there")
		}
	}
	if len(fit) > 0 {
		return fit, nil
	}
	return nil, err
}

func install(ctx context.Context, c *client.Client, fit []client.Found, dest string, o TreeOptions) (in Installed, err error) {
	s, err := tree.Begin(dest)
	if err != nil {
		return in, err
	}
	defer s.Close()
	path, key := s.Path("archive"), netcache.MD5(o.URL)
	got, err := c.Take(ctx, key, fit, path)
	if err != nil {
		return in, err
	}
	in = Installed{Found: got.Found, Kind: kindOf(got.Found.Entry), Size: got.Size}
	// The size that its maker signed is the limit; old clients did not sign one.
	limits := tree.Limits{Entries: number(in.Entry, "entries"), Size: number(in.Entry, "unpacked_size")}
	if err := s.Room(limits.Size); err != nil {
		return in, err
	}
	f, err := fsx.Open(path)
	if err != nil {
		return in, err
	}
	defer f.Close()
	if err := s.Unpack(ctx, f, key, limits); err != nil {
		return in, fmt.Errorf("install %s: %w", o.URL, err)
	}
	return in, nil
}
