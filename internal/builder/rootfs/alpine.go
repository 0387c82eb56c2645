package rootfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"overland/internal/alpine"
	"overland/internal/alpine/resolve"
	"overland/internal/builder"
	"overland/internal/ecosystem/apk"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/platform"
	"overland/internal/store"
)

// alpine reports whether r is made of Alpine's packages: its archive is called so in locks, on this mirror or another.
func (r *Root) alpine() bool {
	archive, _, _ := strings.Cut(r.From, "/")
	return archive == "alpine" || strings.HasSuffix(archive, "-alpine")
}

// repositories returns the names in locks of those that a base takes packages from, the most important first. Only the first one
// must be there.
func (r *Root) repositories() []string {
	before := strings.ReplaceAll(r.From, "/", "-") + "-"
	return []string{before + "main", before + "community"}
}

// alpineArchitectures are Alpine's names of platforms.
var alpineArchitectures = map[platform.Platform]string{
	"linux/amd64": "x86_64", "linux/arm/v6": "armhf", "linux/arm/v7": "armv7", "linux/arm64": "aarch64",
}

// data reports whether r holds nothing that runs on a processor.
func (r *Root) data() bool { return r.DataOnly == "yes" }

// architecture returns the distribution's name of p, or, where that does not matter, of one that each base has.
func (r *Root) architecture(p platform.Platform) (string, error) {
	if r.data() {
		p = "linux/amd64"
	}
	names, whose := architectures, "no distribution is"
	if r.alpine() {
		names, whose = alpineArchitectures, "Alpine is not"
		if r.Updates == "none" {
			return "", errs.Hint(errs.Errorf(errs.Invalid, "%s has no state as it was released: Alpine keeps only the newest packages of a branch", r.From),
				"leave out updates: none; the lock keeps what was recorded")
		}
	}
	if name := names[p]; name != "" {
		return name, nil
	}
	err := errs.Errorf(errs.Invalid, "%s built for %s", whose, p)
	if architectures[p] != "" {
		err = errs.Hint(err, "take another base for it, such as debian/trixie, whose %s serves it", architectures[p])
	}
	return "", err
}

// alpineAlways are in every root file system: they say which distribution it is, and who its users are.
var alpineAlways = []string{"alpine-baselayout", "alpine-release"}

// alpineCuts are the dependencies that are not followed.
var alpineCuts = []resolve.Cut{
	{Package: "alpine-baselayout", Depends: "/bin/sh"},  // for its scripts
	{Package: "alpine-release", Depends: "alpine-keys"}, // for apk, which is only there when somebody wants it
}

// apkCandidate is a package that a root file system may be made of.
type apkCandidate struct {
	key        string // in a lock
	repository string
	sha256     string
	open       func(ctx context.Context) (io.ReadCloser, error)
	*alpine.Info
}

// called implements owner.
func (c *apkCandidate) called() string { return c.Name }

// over implements owner as apk decides it: by the origin, then by what is replaced and its priority.
func (c *apkCandidate) over(old owner) (wins, ok bool) {
	o := old.(*apkCandidate)
	if c.Origin != "" && c.Origin == o.Origin {
		return true, true
	}
	rank := func(p, q *apkCandidate) int {
		if slices.ContainsFunc(p.Replaces, func(d alpine.Dependency) bool { return d.Name == q.Name && d.Holds(q.Version) != d.Not }) {
			return p.ReplacesPriority
		}
		return -1
	}
	mine, theirs := rank(c, o), rank(o, c)
	return mine >= theirs, mine >= 0 || theirs >= 0
}

var errEnough = errors.New("seen enough")

// look reads what c says of itself.
func (c *apkCandidate) look(ctx context.Context, size int64) error {
	r, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = alpine.ReadArchive(r, alpine.Contents{Info: func(p *alpine.Info) error {
		c.Info = p
		return errEnough
	}})
	if !errors.Is(err, errEnough) {
		return fmt.Errorf("%s: %w", c.key, cmp.Or(err, errs.Errorf(errs.Untrusted, "it says nothing of itself")))
	}
	if path.Base(c.key) != c.File() {
		return errs.Errorf(errs.Untrusted, "%s is %s", c.key, c.File())
	}
	c.Package.Size = size
	return nil
}

// contents reads the package c, which must be what its digest says: else the error is errs.Untrusted, whatever
// came before.
func (c *apkCandidate) contents(ctx context.Context, to alpine.Contents) error {
	return proved(ctx, c.open, c.key, c.sha256, func(r io.Reader) error {
		if _, err := alpine.ReadArchive(r, to); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		return nil
	})
}

// alpineRequest returns what is wanted of a resolver.
func (r *Root) alpineRequest() resolve.Request {
	return resolve.Request{Packages: r.alpineWishes(), Exclude: r.Exclude, Cuts: alpineCuts}
}

// alpineWishes returns the wishes with what is always there, and the whole names of the repositories of which some are wished.
func (r *Root) alpineWishes() []string {
	var list []string
	for _, w := range r.Packages {
		if word, repository, ok := strings.Cut(w, "@"); ok {
			w = word + "@" + strings.ReplaceAll(r.From, "/", "-") + "-" + repository
		}
		list = append(list, w)
	}
	for _, name := range alpineAlways {
		if !slices.Contains(r.Packages, name) {
			list = append(list, name)
		}
	}
	return list
}

// alpine writes the root file system of Alpine's packages that s asks for to file.
func (b *Builder) alpine(ctx context.Context, j builder.Job, s settings, file, scratch string) error {
	all, err := b.alpineCandidates(ctx, j, s, scratch)
	if err != nil {
		return err
	}
	pool := resolve.NewPool(s.Architecture)
	at := map[*alpine.Info]*apkCandidate{}
	for _, repository := range s.Root.repositories() { // in the order of their importance
		for _, c := range all {
			if c.repository == repository {
				pool.Add(repository, c.Info)
				at[c.Info] = c
			}
		}
	}
	answer, err := pool.Resolve(s.Root.alpineRequest())
	if err != nil {
		return s.again(err)
	}
	for _, c := range answer.Cuts {
		cut(j, c.Package, c.Depends)
	}
	j.Progress(builder.StepCompile, fmt.Sprintf("%d packages", len(answer.Packages)))
	t, err := newTree(scratch, nil, s.Root.data())
	if err != nil {
		return err
	}
	defer t.close()
	db := &apkDatabase{arch: s.Architecture}
	for _, p := range answer.Packages {
		if err := db.unpack(ctx, t, &s.Root, at[p.Info]); err != nil {
			return err
		}
	}
	if err := db.finish(t, &s.Root); err != nil {
		return err
	}
	return t.save(file)
}

// alpineCandidates returns what may be chosen from.
func (b *Builder) alpineCandidates(ctx context.Context, j builder.Job, s settings, scratch string) ([]*apkCandidate, error) {
	if s.Session != "" {
		list, err := apk.MachineRepositories(b.o.Apk)
		if err != nil {
			return nil, err
		}
		l := apkLive{client: b.o.Client, repositories: list, dir: scratch}
		return l.fetch(ctx, &s.Root, s.Architecture, func(what string) { j.Progress(builder.StepFetch, what) })
	}
	l, err := j.Lock(ctx)
	if err != nil {
		return nil, err
	}
	return apkLocked(ctx, l, b.o.Store, &s.Root, s.Architecture)
}

// apkLocked returns the packages that l holds for arch from the repositories of root's base.
func apkLocked(ctx context.Context, l *lockfile.Lock, blobs store.Opener, root *Root, arch string) ([]*apkCandidate, error) {
	var list []*apkCandidate
	for _, e := range l.Entries {
		if e.Protocol != apk.Name || e.Proof.Kind != apk.ProofIndex || !e.Exists() {
			continue
		}
		for _, repository := range root.repositories() {
			if !strings.HasPrefix(e.Proof.Value, repository+"/"+arch+"/") {
				continue
			}
			c := &apkCandidate{key: e.Key, repository: repository, sha256: e.Blob.Encoded()}
			c.open = func(ctx context.Context) (io.ReadCloser, error) { return openBlob(ctx, blobs, e.Blob, e.Key) }
			if err := c.look(ctx, e.Size); err != nil {
				return nil, err
			}
			list = append(list, c)
		}
	}
	return list, nil
}
