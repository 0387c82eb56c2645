package rootfs

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"overland/internal/alpine"
	"overland/internal/alpine/resolve"
	"overland/internal/digest"
	"overland/internal/ecosystem/apk"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/origin"
)

// apkLive is a base that is read from its repositories, through the recording around this process.
type apkLive struct {
	client       *origin.Client
	repositories []apk.Repository // of this machine
	dir          string           // for what is fetched
}

// fetch returns the packages that root needs for arch, which are in files below dir then.
func (l apkLive) fetch(ctx context.Context, root *Root, arch string, say func(string)) ([]*apkCandidate, error) {
	pool := resolve.NewPool(arch)
	for i, name := range root.repositories() {
		say(name)
		if err := l.index(ctx, name, arch, pool, i == 0); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	answer, err := pool.Resolve(root.alpineRequest())
	if err != nil {
		return nil, err
	}
	var list []*apkCandidate
	for i, p := range answer.Packages {
		say(fmt.Sprintf("%s (%d of %d)", p.Name, i+1, len(answer.Packages)))
		rel := path.Join(p.Architecture, p.File())
		c := &apkCandidate{key: path.Join(p.Repository, rel), repository: p.Repository}
		file := filepath.Join(l.dir, fmt.Sprintf("%d.apk", i))
		if c.sha256, err = l.save(ctx, p.Repository, rel, p.Package.Size, file); err != nil {
			return nil, err
		}
		c.open = func(context.Context) (io.ReadCloser, error) { return fsx.Open(file) }
		if err := check(file, p.Package); err != nil {
			return nil, fmt.Errorf("%s: %w", c.key, err)
		}
		if err := c.look(ctx, p.Package.Size); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// check returns errs.Untrusted unless file is the package that its index wants.
func check(file string, want alpine.Package) error {
	f, err := fsx.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := alpine.ReadPackage(f)
	if err != nil {
		return err
	}
	return want.Check(got)
}

// index adds the packages of a repository to pool, once one of its keys has signed its index. How old it may be is the
// recorder's to check: it knows what was held before.
func (l apkLive) index(ctx context.Context, repository, arch string, pool *resolve.Pool, needed bool) error {
	at, err := apk.Find(l.repositories, repository)
	if err != nil {
		return err
	}
	if at == nil {
		if !needed {
			return nil
		}
		return errs.Hint(errs.Errorf(errs.Invalid, "no line of /etc/apk/repositories here is called so"),
			"write its address there, and its keys below /etc/apk/keys, on the machine that records: apk itself need not be there; a build from the lock needs neither")
	}
	file := filepath.Join(l.dir, repository+".index")
	if _, err := l.save(ctx, repository, path.Join(arch, alpine.IndexName), 0, file); err != nil {
		return err
	}
	f, err := fsx.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := alpine.Verify(f, at.Keys); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return alpine.ReadInfos(f, func(p *alpine.Info) error {
		pool.Add(repository, p)
		return nil
	})
}

// save writes the file rel of a repository to path, and returns its sha256. size is how long it must be; 0 = of an index.
func (l apkLive) save(ctx context.Context, repository, rel string, size int64, to string) (string, error) {
	at, err := apk.Find(l.repositories, repository)
	if err != nil || at == nil {
		return "", err
	}
	limit := size
	if size == 0 {
		limit = alpine.IndexLimit
	}
	a, err := ask(ctx, l.client, at.URL, rel, nil, limit)
	if err != nil {
		return "", err
	}
	defer a.Close()
	f, err := os.Create(to)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := digest.New()
	if _, err := io.Copy(io.MultiWriter(f, h), a.Body); err != nil {
		return "", fsx.Full(err)
	}
	return h.Digest().Encoded(), f.Close()
}
