package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"overland/internal/deb"
	"overland/internal/deb/resolve"
	"overland/internal/ecosystem/apt"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/origin"
)

// live is a base that is read from its archives, through the recording around this process.
type live struct {
	client  *origin.Client
	sources []apt.Source // of this machine
	etc     string       // apt's configuration, for its keys
	dir     string       // for what is fetched
}

// fetch returns the packages that root needs for arch, which are in files below dir then.
func (l live) fetch(ctx context.Context, root *Root, arch string, say func(string)) ([]*candidate, error) {
	pool := resolve.NewPool(arch)
	for _, s := range root.suites() {
		if err := l.suite(ctx, s, root, arch, pool, say); err != nil {
			return nil, fmt.Errorf("%s/%s: %w", s.archive, s.name, err)
		}
	}
	answer, err := pool.Resolve(root.request())
	if err != nil {
		return nil, err
	}
	var list []*candidate
	for i, p := range answer.Packages {
		say(fmt.Sprintf("%s (%d of %d)", p.Name, i+1, len(answer.Packages)))
		c := &candidate{key: path.Join(p.Archive.Name, p.Filename), file: p.File}
		file := filepath.Join(l.dir, fmt.Sprintf("%d.deb", i))
		if err := l.save(ctx, p.Archive.Name, p.Filename, p.File, file); err != nil {
			return nil, err
		}
		c.open = func(context.Context) (io.ReadCloser, error) { return fsx.Open(file) }
		if err := c.look(ctx); err != nil {
			return nil, err
		}
		if c.Name != p.Name || c.Version != p.Version {
			return nil, errs.Errorf(errs.Untrusted, "%s is %s %s, and its index says %s %s", c.key, c.Name, c.Version, p.Name, p.Version)
		}
		list = append(list, c)
	}
	return list, nil
}

// suite adds the packages of s to pool.
func (l live) suite(ctx context.Context, s suite, root *Root, arch string, pool *resolve.Pool, say func(string)) error {
	say(s.name)
	r, err := l.release(ctx, s)
	if errs.KindOf(err) == errs.NotFound && !s.needed {
		return nil
	}
	if err != nil {
		return err
	}
	var name string
	plain := "main/binary-" + arch + "/Packages"
	for _, end := range []string{".xz", ".gz", ""} {
		if name == "" && r.Files[plain+end].SHA256 != "" {
			name = plain + end
		}
	}
	if name == "" {
		if s.needed && root.WithoutSecurity != "yes" {
			return errs.Hint(errs.Errorf(errs.Invalid, "it has nothing for %s, so nothing for that platform would be kept secure", arch),
				"build for other platforms, take a newer base, or say without-security: yes")
		}
		return nil
	}
	if whole, listed := r.Files[plain]; listed && whole.Size == 0 {
		return nil // archives need not have the packed form of nothing
	}
	var index *origin.Answer
	for _, rel := range places(r, name) {
		if index, err = l.index(ctx, s.archive, path.Join("dists", s.name, rel), r.Files[name], r.Files[plain]); errs.KindOf(err) != errs.NotFound {
			break
		}
	}
	if err != nil {
		return err
	}
	defer index.Close()
	u, err := deb.Unpack(index.Body)
	if err != nil {
		return err
	}
	archive := &resolve.Archive{Name: s.archive}
	return deb.ReadPackages(u, func(p *deb.Package) error { pool.Add(archive, p); return nil })
}

// index returns the index rel of an archive: as it is, packed, or what is packed in it, if both are listed. The recorder unpacks it
// anyway, to prove packages by it.
func (l live) index(ctx context.Context, archive, rel string, packed, plain deb.File) (*origin.Answer, error) {
	var h http.Header
	if plain.SHA256 != "" {
		h = http.Header{apt.UnpackedHeader: {"1"}}
	}
	a, err := ask(ctx, l.client, apt.Find(l.sources, archive).URIs[0], rel, h, max(packed.Size, plain.Size, 1))
	if err != nil {
		return nil, err
	}
	want := packed
	if a.Digest.Encoded() == plain.SHA256 {
		want = plain
	}
	if err := (deb.File{Size: want.Size, SHA256: want.SHA256}).Check(deb.File{Size: a.Size, SHA256: a.Digest.Encoded()}); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path.Base(rel), err), a.Close())
	}
	return a, nil
}

// places returns where the index called name may be, below its suite: by its digest in its own folder, or in another's
// with the same content, for mirrors lose some of them; and by its name at last, which may be of another day.
func places(r *deb.Release, name string) (list []string) {
	if r.ByHash {
		for other, f := range r.Files {
			if f.SHA256 == r.Files[name].SHA256 {
				list = append(list, path.Join(path.Dir(other), "by-hash", "SHA256", f.SHA256))
			}
		}
		own := path.Join(path.Dir(name), "by-hash")
		slices.Sort(list)
		list = slices.Compact(list)
		slices.SortStableFunc(list, func(a, b string) int {
			switch x, y := strings.HasPrefix(a, own), strings.HasPrefix(b, own); {
			case x == y:
				return 0
			case x:
				return -1
			}
			return 1
		})
	}
	return append(list, name)
}

// release returns what the InRelease of s says, once a key that apt trusts for its archive has signed it. Dates are the
// recorder's to check: it knows what was held before.
func (l live) release(ctx context.Context, s suite) (*deb.Release, error) {
	at := apt.Find(l.sources, s.archive)
	if at == nil {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "apt's sources here have no archive that is called %s", s.archive),
			"record on a machine whose apt has it; a build from the lock needs none")
	}
	keys, err := deb.KeysFor(at.SignedBy, l.etc)
	if err != nil {
		return nil, err
	}
	b, err := l.get(ctx, s.archive, path.Join("dists", s.name, "InRelease"), deb.ReleaseLimit)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	signed, err := fsx.Read(b.Body, "InRelease", deb.ReleaseLimit)
	if err != nil {
		return nil, err
	}
	text, _, err := deb.VerifyInRelease(signed, keys, time.Time{})
	if err != nil {
		return nil, err
	}
	r, err := deb.ParseRelease(text)
	if err != nil {
		return nil, err
	}
	return r, r.CheckSuite(s.name)
}

// get returns the file rel of an archive.
func (l live) get(ctx context.Context, archive, rel string, limit int64) (*origin.Answer, error) {
	return ask(ctx, l.client, apt.Find(l.sources, archive).URIs[0], rel, nil, limit)
}

// ask returns the file rel below the address base, asked for with the header h.
func ask(ctx context.Context, client *origin.Client, base, rel string, h http.Header, limit int64) (*origin.Answer, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	return client.Get(ctx, origin.Request{URL: u.JoinPath((&url.URL{Path: rel}).EscapedPath()).String(), Header: h, Limit: limit})
}

// save writes the file rel of an archive to path when it is what want says.
func (l live) save(ctx context.Context, archive, rel string, want deb.File, to string) error {
	a, err := l.get(ctx, archive, rel, max(want.Size, 1))
	if err != nil {
		return err
	}
	defer a.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := deb.Measure(io.TeeReader(a.Body, f), want.SHA512 != "")
	if err != nil {
		return fsx.Full(err)
	}
	if err := want.Check(got); err != nil {
		return fmt.Errorf("%s: %w", path.Base(rel), err)
	}
	return f.Close()
}
