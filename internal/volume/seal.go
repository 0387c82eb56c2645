package volume

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/platform"
	"overland/internal/progress"
	"overland/internal/store"
	"overland/internal/trust"
)

const bufferSize = 256 << 10

// Agent is the node's program for one platform, a blob of the volume.
type Agent struct {
	Platform platform.Platform
	Digest   digest.Digest
	Size     int64 // bytes
}

// Content is what Seal writes into a volume.
type Content struct {
	Blobs  []ocispec.Descriptor                       // all of them, in any order; duplicates are no harm
	Open   func(digest.Digest) (io.ReadCloser, error) // where their bytes come from; Seal verifies them
	Index  []byte                                     // index.json, see store.MarshalIndex; what it lists is among Blobs
	Trust  map[string][]byte                          // metadata by its name on the wire: "2.root.json"
	Agents []Agent                                    // in any order, one for a platform, their digests among Blobs
}

// Options changes how Seal works. The zero value works.
type Options struct {
	Split    int64                // bytes of each part but the last; 0 = one file
	Pack     Pack                 // compresses blobs; nil = they are stored as they are
	Progress func(progress.Event) // called from Seal's goroutine
	FS       fsx.FS               // how the disk is changed; the real disk
}

// Pack returns a writer that compresses to w with DEFLATE, the same bytes to the same bytes.
type Pack func(w io.Writer) (io.WriteCloser, error)

// Info is what Seal made.
type Info struct {
	Paths  []string      // the file, or its parts in order
	Size   int64         // bytes of all parts together
	Digest digest.Digest // names the content: see (*Volume).Digest
}

// Seal writes the volume path from c, whole or not at all, and returns when it will survive a power
// cut. The same content gives the same bytes. Every blob is read once and verified; one that is not
// itself ends Seal with an error that wraps digest.ErrMismatch (errs.Untrusted). With Pack, what
// becomes shorter by an eighth is compressed, to a file without a name beside path first. Content that
// contradicts itself is errs.Invalid, a disk without room errs.Unavailable.
//
// With Split the bytes go to path.001, path.002, … (999 at most), whose digests are listed in
// path.parts. That list is removed first and comes last: without it parts are not a volume.
func Seal(ctx context.Context, path string, c Content, o Options) (Info, error) {
	info, err := seal(ctx, path, c, o)
	if err != nil {
		return Info{}, fmt.Errorf("seal volume %s: %w", path, fsx.Full(err))
	}
	return info, nil
}

func seal(ctx context.Context, path string, c Content, o Options) (Info, error) {
	show := func(step string, done, total int64) {
		if o.Progress != nil {
			o.Progress(progress.Event{Step: step, What: path, Done: done, Total: total})
		}
	}
	buf := make([]byte, bufferSize)
	p, err := makePlan(c, nil)
	if err != nil {
		return Info{}, errs.E(errs.Invalid, err)
	}
	var packed *packer
	if o.Pack != nil {
		if packed, err = newPacker(path, c, o, buf); err != nil {
			return Info{}, err
		}
		defer packed.close()
		if err := packed.run(ctx, func(done, total int64) { show("compress", done, total) }); err != nil {
			return Info{}, err
		}
		if p, err = makePlan(c, packed.blobs); err != nil {
			return Info{}, errs.E(errs.Invalid, err)
		}
	}
	out, err := newOutput(path, p.size(), o)
	if err != nil {
		return Info{}, err
	}
	defer out.discard()
	w := sealer{
		plan: p, open: c.Open, packed: packed, out: out, buf: buf,
		show: func(done, total int64) { show("seal", done, total) },
	}
	if err := w.run(ctx); err != nil {
		return Info{}, err
	}
	paths, err := out.commit(ctx, w.buf)
	if err != nil {
		return Info{}, err
	}
	w.show(out.off, out.off)
	return Info{Paths: paths, Size: out.off, Digest: identity(p.files[nameDocument], w.directory)}, nil
}

// plan is the layout of a volume before its bytes are known.
type plan struct {
	members []member
	files   map[string][]byte // the entries that are not blobs
	stub    []byte
	dir     int64 // offset of the central directory
}

// size returns how long the volume will be, but for the central directory: bytes.
func (p *plan) size() int64 { return p.dir + int64(len(p.members))*2*lenDirectory }

// makePlan lays out c; packed are the blobs of it that are compressed.
func makePlan(c Content, packed map[digest.Digest]packedBlob) (*plan, error) {
	list, err := store.ParseIndex(c.Index)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", nameIndex, err)
	}
	agents := slices.Clone(c.Agents)
	all := platform.All()
	slices.SortStableFunc(agents, func(a, b Agent) int {
		return slices.Index(all, a.Platform) - slices.Index(all, b.Platform)
	})
	if err := checkAgents(agents); err != nil {
		return nil, err
	}
	files := map[string][]byte{nameLayout: []byte(ociLayout), nameIndex: c.Index}
	for name, b := range c.Trust {
		if err := trust.CheckMetadataName(name); err != nil {
			return nil, err
		}
		files[prefixTrust+name] = b
	}
	if files[nameDocument], err = marshalDocument(agents, files, packed); err != nil {
		return nil, err
	}
	p := &plan{files: files}
	for name, b := range files {
		if len(b) > maxFile {
			return nil, fmt.Errorf("%s: %d bytes, at most %d", name, len(b), maxFile)
		}
		p.members = append(p.members, member{name: name, size: int64(len(b)), crc: crc32.ChecksumIEEE(b)})
	}
	sizes := make(map[digest.Digest]int64, len(c.Blobs))
	for _, b := range c.Blobs {
		if _, err := digest.Parse(string(b.Digest)); err != nil {
			return nil, err
		}
		if n, ok := sizes[b.Digest]; ok && n != b.Size {
			return nil, fmt.Errorf("blob %s: of %d and of %d bytes", b.Digest, n, b.Size)
		} else if !ok {
			pb := packed[b.Digest]
			p.members = append(p.members, member{name: blobName(b.Digest), size: b.Size, packed: pb.Size, crc: pb.crc})
		}
		sizes[b.Digest] = b.Size
	}
	if len(p.members) > maxEntries {
		return nil, fmt.Errorf("%d entries, at most %d", len(p.members), maxEntries)
	}
	if err := checkListed(sizes, agents, list); err != nil {
		return nil, err
	}
	if p.dir, err = arrange(p.members, agents); err != nil {
		return nil, err
	}
	p.stub, err = stub(agents, p.members)
	return p, err
}

// checkListed refuses agents and index entries that are not among the blobs.
func checkListed(sizes map[digest.Digest]int64, agents []Agent, list []ocispec.Descriptor) error {
	for _, a := range agents {
		if n, ok := sizes[a.Digest]; !ok || n != a.Size {
			return fmt.Errorf("agent for %s: blob %s of %d bytes is not in the volume", a.Platform, a.Digest, a.Size)
		}
	}
	for _, d := range list {
		if n, ok := sizes[d.Digest]; !ok || n != d.Size {
			return fmt.Errorf("%s: %s (%s) of %d bytes is not in the volume", nameIndex, d.Digest, store.TagOf(d), d.Size)
		}
	}
	return nil
}

type sealer struct {
	*plan
	open      func(digest.Digest) (io.ReadCloser, error)
	packed    *packer // nil = nothing is compressed
	out       *output
	show      func(done, total int64)
	buf       []byte
	directory []byte
}

func (s *sealer) run(ctx context.Context) error {
	if _, err := s.out.Write(s.stub); err != nil {
		return err
	}
	for i := range s.members {
		if err := s.member(ctx, &s.members[i]); err != nil {
			return err
		}
		s.report()
	}
	var end []byte
	s.directory, end = tail(s.members, s.dir)
	if _, err := s.out.Write(s.directory); err != nil {
		return err
	}
	_, err := s.out.Write(end)
	return err
}

func (s *sealer) member(ctx context.Context, m *member) error {
	d := m.digest()
	if _, err := s.out.Write(appendLocal(s.buf[:0], m)); err != nil {
		return err
	}
	switch {
	case m.packed > 0:
		return s.packed.copy(ctx, d, s.out)
	case d == "":
		_, err := s.out.Write(s.files[m.name])
		return err
	}
	if err := s.blob(ctx, d, m); err != nil {
		return fmt.Errorf("blob %s: %w", d, err)
	}
	return nil
}

// blob copies the bytes of m, and then patches their checksum into the header before them.
func (s *sealer) blob(ctx context.Context, d digest.Digest, m *member) (err error) {
	m.crc, err = copyBlob(ctx, s.open, d, m.size, s.buf, func(b []byte) error {
		_, err := s.out.Write(b)
		s.report()
		return err
	})
	if err != nil {
		return err
	}
	return s.out.patch(m.header+offLocalCRC, le.AppendUint32(nil, m.crc))
}

// copyBlob reads the size bytes of blob d by way of buf, passes them on, verifies them, and returns
// their CRC-32.
func copyBlob(
	ctx context.Context, open func(digest.Digest) (io.ReadCloser, error), d digest.Digest, size int64, buf []byte, use func([]byte) error,
) (crc uint32, err error) {
	f, err := open(d)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := io.Reader(f)
	if b, ok := f.(store.Blob); ok {
		r = store.Once(b)
	}
	h := digest.New()
	for left := size; ; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := r.Read(buf)
		if left -= int64(n); left < 0 {
			return 0, untrusted("more than %d bytes: %w", size, digest.ErrMismatch)
		}
		// Hashed and summed while the bytes are in the processor's cache, then written.
		h.Write(buf[:n])
		crc = crc32.Update(crc, crc32.IEEETable, buf[:n])
		if err := use(buf[:n]); err != nil {
			return 0, err
		}
		if err == io.EOF {
			if got := h.Digest(); left != 0 || got != d {
				return 0, untrusted("got %d of %d bytes, named %s: %w", size-left, size, got, digest.ErrMismatch)
			}
			return crc, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// report says how far Seal is. The last event, that all is done, comes when the files are in place.
func (s *sealer) report() { s.show(s.out.off, s.size()) }

// identity names a volume's content without a second pass over it: the document holds the digests
// of the metadata and the layout, the central directory those of the blobs.
func identity(doc, directory []byte) digest.Digest {
	h := digest.New()
	h.Write(doc)
	h.Write(directory)
	return h.Digest()
}
