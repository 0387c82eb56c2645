package rootfs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"overland/internal/deb"
	"overland/internal/deb/resolve"
	"overland/internal/digest"
	"overland/internal/ecosystem/apt"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/lockfile"
	"overland/internal/store"
)

// candidate is a package that a root file system may be made of.
type candidate struct {
	key     string // in a lock
	file    deb.File
	open    func(ctx context.Context) (io.ReadCloser, error)
	control []byte            // its control file
	scripts map[string][]byte // kept, once it is unpacked
	*deb.Package
}

// called implements owner.
func (c *candidate) called() string { return c.Name }

// over implements owner by the field Replaces.
func (c *candidate) over(old owner) (wins, ok bool) {
	q := old.(*candidate)
	replaces := func(p, q *candidate) bool {
		return slices.ContainsFunc(p.Replaces, func(a deb.Alternatives) bool { return a[0].Name == q.Name && a[0].Holds(q.Version) })
	}
	wins = replaces(c, q)
	return wins, wins || replaces(q, c)
}

// look reads the control file of c.
func (c *candidate) look(ctx context.Context) error {
	r, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	err = deb.ReadArchive(r, deb.Contents{Control: func(name string, r io.Reader) (err error) {
		if name == "control" {
			const most = 1 << 20
			c.control, err = fsx.Read(r, name, most)
		}
		return err
	}})
	if err != nil {
		return fmt.Errorf("%s: %w", c.key, err)
	}
	whole := fmt.Sprintf("%s\nFilename: %s\nSize: %d\nSHA256: %s\n", bytes.TrimRight(c.control, "\n"), c.key, c.file.Size, c.file.SHA256)
	err = deb.ReadPackages(strings.NewReader(whole), func(p *deb.Package) error {
		if c.Package != nil {
			return errs.Errorf(errs.Invalid, "two packages in its control file")
		}
		c.Package = p
		return nil
	})
	if err == nil && c.Package == nil {
		err = errs.Errorf(errs.Invalid, "no control file in it")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.key, err)
	}
	return nil
}

// contents reads the package c, which must be what its digest says: else the error is errs.Untrusted, whatever
// came before.
func (c *candidate) contents(ctx context.Context, to deb.Contents) error {
	return proved(ctx, c.open, c.key, c.file.SHA256, func(r io.Reader) error {
		if err := deb.ReadArchive(r, to); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		return nil
	})
}

// proved reads what open returns, which must have the sha256 that is wanted: else the error is errs.Untrusted, whatever read
// says.
func proved(ctx context.Context, open func(context.Context) (io.ReadCloser, error), key, sha256 string, read func(io.Reader) error) error {
	r, err := open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	h := digest.New()
	tee := io.TeeReader(r, h)
	err = read(tee)
	if _, rest := io.Copy(io.Discard, tee); rest != nil {
		return rest
	}
	if got := h.Digest().Encoded(); got != sha256 {
		return errs.Errorf(errs.Untrusted, "%s: its sha256 is %s, not %s", key, got, sha256)
	}
	return err
}

// request returns what is wanted of a resolver.
func (r *Root) request() resolve.Request {
	names, pins := r.wishes()
	return resolve.Request{Packages: names, Pins: pins, Exclude: r.Exclude, Cuts: cuts}
}

// choose returns those of all that belong to root, base-files first and then by name, and the cuts that were made.
func choose(root *Root, arch string, all []*candidate) ([]*candidate, []resolve.Cut, error) {
	pool, archive := resolve.NewPool(arch), &resolve.Archive{Name: root.From}
	slices.SortFunc(all, func(a, b *candidate) int { return cmp.Compare(a.key, b.key) })
	for _, c := range all {
		pool.Add(archive, c.Package)
	}
	answer, err := pool.Resolve(root.request())
	if err != nil {
		return nil, nil, err
	}
	var list []*candidate
	for _, p := range answer.Packages {
		at := slices.IndexFunc(all, func(c *candidate) bool { return c.Package == p.Package })
		list = append(list, all[at])
	}
	if at := slices.IndexFunc(list, func(c *candidate) bool { return c.Name == always[0] }); at > 0 {
		list = slices.Concat(list[at:at+1], list[:at], list[at+1:])
	}
	return list, answer.Cuts, nil
}

// locked returns the packages that l holds for arch from the suites of its base.
func locked(ctx context.Context, l *lockfile.Lock, blobs store.Opener, root *Root, arch string) ([]*candidate, error) {
	var list []*candidate
	for _, e := range l.Entries {
		if e.Protocol != apt.Name || e.Proof.Kind != apt.ProofIndex || !e.Exists() ||
			!strings.HasSuffix(e.Key, "_"+arch+".deb") && !strings.HasSuffix(e.Key, "_all.deb") ||
			!slices.ContainsFunc(root.suites(), func(s suite) bool { return strings.HasPrefix(e.Proof.Value, s.dir()+"/") }) {
			continue
		}
		c := &candidate{key: e.Key, file: deb.File{Size: e.Size, SHA256: e.Blob.Encoded()}}
		c.open = func(ctx context.Context) (io.ReadCloser, error) { return openBlob(ctx, blobs, e.Blob, e.Key) }
		if err := c.look(ctx); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

func openBlob(ctx context.Context, blobs store.Opener, d digest.Digest, key string) (io.ReadCloser, error) {
	b, err := blobs.Open(ctx, d)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errs.Hint(errs.Errorf(errs.Unavailable, "%s is locked, but the depot lacks it: %w", key, err), "with a network: overland record -- overland build")
	}
	return b, err
}
