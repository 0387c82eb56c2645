package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store"
)

// Kind is what a member of a layer is.
type Kind byte

// The kinds of a member. Devices, pipes and sockets belong to the machine that runs a container.
const (
	File Kind = iota
	Folder
	Symlink
	Hardlink
)

// Entry is one member of a layer.
type Entry struct {
	Name   string // path below the root: "usr/bin/env"
	Kind   Kind
	Mode   fs.FileMode // permissions, with fs.ModeSetuid, fs.ModeSetgid and fs.ModeSticky; not of links
	UID    int
	GID    int
	Target string            // of a Symlink as it is; of a Hardlink the Name of a file that was added before
	Size   int64             // of a File, in bytes
	Time   time.Time         // whole seconds are kept
	Xattrs map[string]string // extended attributes: "security.capability"
}

// Limits of one layer.
const (
	maxMembers = 1 << 20
	maxName    = 4095 // bytes; Linux has no longer paths
	maxID      = math.MaxUint32 - 1
)

// whiteout begins names that remove what the layers below have (image specification, "Whiteouts"). A
// member with such a name would vanish on its way.
const whiteout = ".wh."

// Layer is a layer on its way into a depot. It is for one goroutine.
type Layer struct {
	tar  *tar.Writer
	time time.Time       // of folders that nobody added
	have map[string]Kind // by name
}

// Made is a layer in a depot.
type Made struct {
	ocispec.Descriptor               // of the packed bytes
	DiffID             digest.Digest // of the tar
}

// PutLayer is Packing.PutLayer of a layer that is packed as usual, with Gzip.
func PutLayer(ctx context.Context, s store.Blobs, at time.Time, fill func(*Layer) error) (Made, error) {
	return Gzip.PutLayer(ctx, s, at, fill)
}

// PutTar is Packing.PutTar of a layer that is packed as usual, with Gzip.
func PutTar(ctx context.Context, s store.Blobs, r io.Reader) (Made, error) {
	return Gzip.PutTar(ctx, s, r)
}

// PutLayer stores a layer of the members that fill adds, in their order. Equal members in equal order give
// equal bytes. Folders above a member that were not added before it are root's, with mode 0755 and the time
// at. Errors: Invalid for a member that no layer may have, and fill's own.
func (p Packing) PutLayer(ctx context.Context, s store.Blobs, at time.Time, fill func(*Layer) error) (Made, error) {
	return p.put(ctx, s, func(w io.Writer) error {
		l := &Layer{tar: tar.NewWriter(w), time: at, have: map[string]Kind{".": Folder}}
		if err := fill(l); err != nil {
			return err
		}
		return l.tar.Close()
	})
}

// PutTar stores the tar r as a layer, as it is. What is in it is not looked at, but that it is a tar: the error for
// another file is Invalid.
func (p Packing) PutTar(ctx context.Context, s store.Blobs, r io.Reader) (Made, error) {
	const enough = 64 << 10
	b := bufio.NewReaderSize(r, enough)
	beginning, err := b.Peek(enough)
	if err != nil && !errors.Is(err, io.EOF) {
		return Made{}, err
	}
	switch _, err := tar.NewReader(bytes.NewReader(beginning)).Next(); {
	case errors.Is(err, io.EOF) && len(beginning) == 0:
		return Made{}, errs.Errorf(errs.Invalid, "it is empty, and no tar")
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return Made{}, errs.Hint(errs.Errorf(errs.Invalid, "it is no tar: %w", err), "a layer is made of a tar that is not compressed")
	}
	return p.put(ctx, s, func(w io.Writer) error {
		_, err := io.Copy(w, b)
		return err
	})
}

// put stores what write writes, packed, as a layer.
func (p Packing) put(ctx context.Context, s store.Blobs, write func(io.Writer) error) (Made, error) {
	r, w := io.Pipe()
	sum, ended := digest.New(), make(chan error, 1)
	go func() {
		err := p.pack(w, sum, write)
		w.CloseWithError(err) // nil is the end
		ended <- err
	}()
	d, size, err := s.Put(ctx, r, "", -1)
	_ = r.CloseWithError(cmp.Or(err, io.ErrClosedPipe)) // a full depot stops reading: fill has to hear it
	if own := <-ended; own != nil && (err == nil || !errors.Is(own, err)) {
		err = own
	}
	if err != nil {
		return Made{}, fmt.Errorf("layer: %w", err)
	}
	return Made{Descriptor: ocispec.Descriptor{MediaType: p.MediaType(), Digest: d, Size: size}, DiffID: sum.Digest()}, nil
}

// pack packs what write writes to w, and writes it to sum as it is.
func (p Packing) pack(w, sum io.Writer, write func(io.Writer) error) error {
	packed, err := p.writer(w)
	if err != nil {
		return err
	}
	if err := write(io.MultiWriter(packed, sum)); err != nil {
		return errors.Join(err, packed.Close())
	}
	return packed.Close()
}

// Add adds e; the bytes of a File are the next e.Size bytes of content, which is not read for other kinds.
// A folder that is there already is passed over, and so keeps what it was first.
func (l *Layer) Add(e Entry, content io.Reader) error {
	if err := l.add(e, content); err != nil {
		return fmt.Errorf("%.200q: %w", e.Name, err)
	}
	return nil
}

func (l *Layer) add(e Entry, content io.Reader) error {
	h, err := e.header()
	if err != nil {
		return errs.E(errs.Invalid, err)
	}
	if kind, there := l.have[e.Name]; there {
		if kind == Folder && e.Kind == Folder {
			return nil
		}
		return errs.Errorf(errs.Invalid, "it is in this layer already")
	}
	if e.Kind == Hardlink {
		if kind, there := l.have[e.Target]; !there || kind != File {
			return errs.Errorf(errs.Invalid, "a hard link to %.200q, which is no file that was added before", e.Target)
		}
	}
	if err := l.above(e.Name); err != nil {
		return err
	}
	if err := l.header(e.Name, e.Kind, h); err != nil || e.Kind != File {
		return err
	}
	switch n, err := io.CopyN(l.tar, content, e.Size); {
	case errors.Is(err, io.EOF):
		return errs.Errorf(errs.Untrusted, "%d of %d bytes: %w", n, e.Size, io.ErrUnexpectedEOF)
	default:
		return err
	}
}

// above adds the folders above name that are not there.
func (l *Layer) above(name string) error {
	dir := path.Dir(name)
	switch kind, there := l.have[dir]; {
	case there && kind != Folder:
		return errs.Errorf(errs.Invalid, "%.200q, above it, is no folder in this layer", dir)
	case there:
		return nil
	}
	if err := l.above(dir); err != nil {
		return err
	}
	const usual = 0o755
	h, err := Entry{Name: dir, Kind: Folder, Mode: usual, Time: l.time}.header()
	if err != nil {
		return err
	}
	return l.header(dir, Folder, h)
}

func (l *Layer) header(name string, kind Kind, h *tar.Header) error {
	if len(l.have) > maxMembers {
		return errs.Errorf(errs.Invalid, "a layer has at most %d members", maxMembers)
	}
	l.have[name] = kind
	return l.tar.WriteHeader(h)
}

// header returns the tar header of e, or an error for what no layer may have.
func (e Entry) header() (*tar.Header, error) {
	switch {
	case !fs.ValidPath(e.Name) || e.Name == "." || len(e.Name) > maxName || strings.ContainsRune(e.Name, 0):
		return nil, errors.New("not a path below the root")
	case strings.Contains("/"+e.Name, "/"+whiteout):
		return nil, fmt.Errorf("names that begin with %s remove files of other layers", whiteout)
	case e.UID < 0 || e.GID < 0 || int64(e.UID) > maxID || int64(e.GID) > maxID:
		return nil, fmt.Errorf("owner %d:%d: no user or group has that number", e.UID, e.GID)
	case e.Size < 0 || e.Kind != File && e.Size != 0:
		return nil, fmt.Errorf("a size of %d bytes", e.Size)
	case e.Mode&^(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0:
		return nil, fmt.Errorf("mode %s", e.Mode)
	}
	h := &tar.Header{Name: e.Name, Mode: fsx.ModeBits(e.Mode), Uid: e.UID, Gid: e.GID, ModTime: e.Time.UTC().Truncate(time.Second)}
	switch e.Kind {
	case File:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
	case Folder:
		h.Typeflag, h.Name = tar.TypeDir, e.Name+"/"
	case Symlink:
		if e.Target == "" || len(e.Target) > maxName || strings.ContainsRune(e.Target, 0) {
			return nil, fmt.Errorf("a link to %.200q", e.Target)
		}
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.Target, linkMode
	case Hardlink:
		h.Typeflag, h.Linkname = tar.TypeLink, e.Target
	default:
		return nil, fmt.Errorf("kind %d", e.Kind)
	}
	for name, value := range maps.All(e.Xattrs) {
		if name == "" || strings.ContainsAny(name, "=\x00") || !utf8.ValidString(name) {
			return nil, fmt.Errorf("extended attribute %.100q", name)
		}
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+name] = value
	}
	return h, nil
}

const linkMode = 0o777
