package rootfs

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"io"
	"slices"
	"strings"
	"sync"

	"overland/internal/deb"
	"overland/internal/fsx"
)

// parcel is what a package holds, before it is in a tree.
type parcel struct {
	c     *candidate
	files []parcelFile
	sums  []byte // its md5sums
	err   error
	read  chan struct{} // closed once it is read
}

type parcelFile struct {
	name string
	*entry
}

// unpack adds the files of list, and what says that they are there, to t. Several packages are read at once, the largest first: of
// one, most of the time is xz, which has no parts. They are added in their order.
func (b *Builder) unpack(ctx context.Context, t *tree, list []*candidate, dir string) (done func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var readers sync.WaitGroup
	var spools []*spool
	done = func() {
		for _, s := range spools {
			s.close()
		}
	}
	defer func() {
		cancel()
		readers.Wait()
	}()
	parcels := make([]*parcel, len(list))
	for i, c := range list {
		parcels[i] = &parcel{c: c, read: make(chan struct{})}
	}
	queue := make(chan *parcel, len(parcels))
	for _, p := range slices.SortedStableFunc(slices.Values(parcels), func(x, y *parcel) int { return cmp.Compare(y.c.file.Size, x.c.file.Size) }) {
		queue <- p
	}
	close(queue)
	for range min(cap(b.readers), len(parcels)) {
		s, err := newSpool(dir, t.used)
		if err != nil {
			return done, err
		}
		spools = append(spools, s)
		readers.Go(func() {
			for p := range queue {
				p.err = b.read(ctx, t, p, s)
				close(p.read)
			}
		})
	}
	for i, p := range parcels {
		<-p.read
		if p.err != nil {
			return done, p.err
		}
		if err := p.into(t); err != nil {
			return done, err
		}
		parcels[i] = nil
	}
	readers.Wait()
	for _, s := range spools {
		if err := s.pending.Flush(); err != nil {
			return done, fsx.Full(err)
		}
	}
	return done, nil
}

// read reads the package of p, with what its files hold in s, as soon as there is a place.
func (b *Builder) read(ctx context.Context, t *tree, p *parcel, s *spool) error {
	select {
	case b.readers <- struct{}{}:
		defer func() { <-b.readers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	p.c.scripts = map[string][]byte{}
	return p.c.contents(ctx, deb.Contents{
		Control: func(name string, r io.Reader) (err error) {
			const most = 64 << 20
			switch {
			case name == "md5sums":
				p.sums, err = fsx.Read(r, name, most)
			case slices.Contains(kept, name):
				p.c.scripts[name], err = fsx.Read(r, name, most)
			}
			return err
		},
		Data: func(h *tar.Header, r io.Reader) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			name, e, err := t.entry(p.c, h)
			if err != nil || name == "" {
				return err
			}
			if err := t.used.entry(len(name) + len(e.target)); err != nil {
				return err
			}
			keep, err := t.fill(name, e, h, r, s)
			if keep && err == nil {
				p.files = append(p.files, parcelFile{name, e})
			}
			return err
		},
	})
}

// into adds what p holds to t.
func (p *parcel) into(t *tree) error {
	for _, f := range p.files {
		if err := t.place(f.name, f.entry); err != nil {
			return err
		}
	}
	// As scanners look for it in images without dpkg.
	at := "var/lib/dpkg/status.d/" + p.c.Name
	if err := t.write(at, fileMode, append(bytes.TrimRight(p.c.control, "\n"), '\n')); err != nil {
		return err
	}
	if t.data { // without those of programs
		var there []byte
		for line := range bytes.Lines(p.sums) {
			_, name, _ := strings.Cut(strings.TrimSpace(string(line)), "  ")
			if name, err := t.clean(name); err == nil && t.has(name) {
				there = append(there, line...)
			}
		}
		p.sums = there
	}
	if len(p.sums) == 0 {
		return nil
	}
	return t.write(at+".md5sums", fileMode, p.sums)
}
