package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/store"
)

// Entry is one file in the archive.
type Entry struct {
	Name   string        // "blobs/sha256/…", "trust/2.root.json", "index.json", "overland.json", "oci-layout"
	Offset int64         // of its bytes in the volume
	Size   int64         // of its content, bytes
	Packed int64         // how many bytes it has in the volume when those are compressed; 0 = they are not
	Digest digest.Digest // of its content; "" for overland.json, which names the others
}

// Volume is an open volume, read in place. It is safe for concurrent use.
type Volume struct {
	pieces  *pieces
	members []member
	names   map[string]int // name → index of members
	doc     *document
	stub    []byte
	tail    []byte // central directory and end records
	dir     int64  // offset of tail
	digest  digest.Digest
}

// Open opens a volume for reading: the file, or any part, the list of parts, or the name that
// they have in common. It reads the stub, overland.json and the central directory, and
// refuses (errs.Untrusted) a file that differs in them from what Seal makes. Blobs are not
// read: see Verify. The caller closes it.
func Open(path string) (*Volume, error) { return openAs(path, nil) }

// OpenFound is Open for a file that was found in a folder where anybody may put one. Links are not
// followed, and all is done with patience: what says nothing for a minute (a network folder whose
// server is gone) fails with errs.Unavailable, as does all that follows.
func OpenFound(path string, patience *fsx.Patience) (*Volume, error) { return openAs(path, patience) }

func openAs(path string, patience *fsx.Patience) (*Volume, error) {
	v, err := openVolume(path, patience)
	if err != nil {
		return nil, fmt.Errorf("open volume %s: %w", path, err)
	}
	return v, nil
}

func openVolume(path string, patience *fsx.Patience) (*Volume, error) {
	files, err := findPieces(path, patience)
	if err != nil {
		return nil, errors.Join(err, files.Close())
	}
	v := &Volume{pieces: files}
	if err := v.read(files, files.size); err != nil {
		return nil, errors.Join(files.blame(context.Background(), err), files.Close())
	}
	return v, nil
}

// Close ends the reading. Readers that came from v fail afterwards.
func (v *Volume) Close() error { return v.pieces.Close() }

// Name returns the path of the volume, for messages.
func (v *Volume) Name() string { return v.pieces.path }

// Local says that reading the volume again costs no network: fetch then hashes a
// blob once, without its chunk list.
func (v *Volume) Local() bool { return true }

// Size returns the length of all parts together in bytes.
func (v *Volume) Size() int64 { return v.pieces.size }

// contentSize returns the length of all entries together, unpacked, in bytes.
func (v *Volume) contentSize() int64 {
	var n int64
	for i := range v.members {
		n = min(n+v.members[i].size, maxSize) // neither is more
	}
	return n
}

// Digest names the content: it is the sha256 of the bytes of overland.json followed by those of the
// central directory. Equal digests mean equal volumes, byte for byte. It takes no pass over the
// blobs, whose bytes Verify checks.
func (v *Volume) Digest() digest.Digest { return v.digest }

// Entries returns what is in the archive, in its order.
func (v *Volume) Entries() []Entry {
	list := make([]Entry, len(v.members))
	for i := range v.members {
		m := &v.members[i]
		d := m.digest()
		if d == "" {
			d = v.doc.Files[m.name]
		}
		list[i] = Entry{Name: m.name, Offset: m.data, Size: m.size, Packed: m.packed, Digest: d}
	}
	return list
}

// Agents returns the agents in the volume, one for a platform at most.
func (v *Volume) Agents() []Agent { return v.doc.agents() }

// Has reports whether the volume has blob d.
func (v *Volume) Has(d digest.Digest) bool { return v.blob(d) != nil }

func (v *Volume) blob(d digest.Digest) *member {
	if _, err := digest.Parse(string(d)); err != nil {
		return nil
	}
	return v.find(blobName(d))
}

func (v *Volume) find(name string) *member {
	if i, ok := v.names[name]; ok {
		return &v.members[i]
	}
	return nil
}

// Stat returns the length of blob d in bytes. A blob that the volume does not have is an error that
// wraps store.ErrNotFound.
func (v *Volume) Stat(d digest.Digest) (int64, error) {
	m, err := v.held(d)
	if err != nil {
		return 0, err
	}
	return m.size, nil
}

func (v *Volume) held(d digest.Digest) (*member, error) {
	m := v.blob(d)
	if m == nil {
		return nil, errs.Errorf(errs.NotFound, "volume %s: blob %s: %w", v.Name(), d, store.ErrNotFound)
	}
	return m, nil
}

// section returns the bytes of m in the file.
func (v *Volume) section(m *member) *io.SectionReader {
	return io.NewSectionReader(v.pieces, m.data, m.length())
}

// content returns the content of m, not verified.
func (v *Volume) content(m *member) io.Reader {
	if m.packed == 0 {
		return v.section(m)
	}
	return unpack(v.section(m), m.size)
}

// Section returns blob d to be read in any order, not verified; the caller closes it after use. It
// is read in place, or, where it is compressed, from a file without a name that it was unpacked to.
// A blob that the volume does not have is an error that wraps store.ErrNotFound.
func (v *Volume) Section(ctx context.Context, d digest.Digest) (*io.SectionReader, io.Closer, error) {
	m, err := v.held(d)
	if err != nil {
		return nil, nil, err
	}
	if m.packed == 0 {
		return v.section(m), io.NopCloser(nil), nil
	}
	return v.spool(ctx, m)
}

// Open returns the bytes of blob d from offset off on, not verified, and its whole length. The
// error for a blob that is not there wraps fs.ErrNotExist. So a *Volume is a fetch.Source.
func (v *Volume) Open(ctx context.Context, d digest.Digest, off int64) (io.ReadCloser, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	m, err := v.held(d)
	if err != nil {
		return nil, 0, err
	}
	if off < 0 || off > m.size {
		return nil, 0, errs.Errorf(errs.Invalid, "volume %s: blob %s: offset %d of %d", v.Name(), d, off, m.size)
	}
	r := &reading{SectionReader: v.section(m), v: v, at: m.data}
	if m.packed == 0 {
		r.off = off
		_, err = r.Seek(off, io.SeekStart)
		return r, m.size, err
	}
	content := unpack(r, m.size)
	if err := skip(ctx, content, off); err != nil {
		return nil, 0, fmt.Errorf("volume %s: blob %s: %w", v.Name(), d, err)
	}
	return io.NopCloser(content), m.size, nil
}

// reading reads the bytes of a blob in the file once, and lets the page cache drop what it has passed.
type reading struct {
	*io.SectionReader
	v    *Volume
	at   int64 // offset of the bytes in the volume
	off  int64 // in them
	done fsx.Behind
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.SectionReader.Read(p)
	r.off += int64(n)
	if r.v.pieces.parts == nil {
		if r.done.File == nil {
			r.done.File = r.v.pieces.files[0]
			r.done.Start(r.at + r.off - int64(n))
		}
		r.done.At(r.at + r.off)
	}
	return n, err
}

func (r *reading) Close() error { return nil }

// Bytes returns blob d, verified. So a *Volume is a store.Getter.
func (v *Volume) Bytes(ctx context.Context, d digest.Digest, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m, err := v.held(d)
	if err != nil {
		return nil, err
	}
	return v.bytes(m, d, limit)
}

// Metadata returns the metadata file name, as it is called on the wire, or an error that wraps
// fs.ErrNotExist. So a *Volume is a trust.MetadataSource.
func (v *Volume) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := v.find(prefixTrust + name)
	if m == nil {
		return nil, errs.Errorf(errs.NotFound, "volume %s: metadata %s: %w", v.Name(), name, fs.ErrNotExist)
	}
	return v.bytes(m, v.doc.Files[m.name], limit)
}

// MetadataNames returns the names of all metadata, sorted.
func (v *Volume) MetadataNames() []string {
	var list []string
	for i := range v.members {
		if name, ok := strings.CutPrefix(v.members[i].name, prefixTrust); ok {
			list = append(list, name)
		}
	}
	return list
}

// Index returns index.json, verified.
func (v *Volume) Index() ([]byte, error) {
	return v.bytes(v.find(nameIndex), v.doc.Files[nameIndex], maxFile)
}

// Tags returns what index.json lists; see store.TagOf.
func (v *Volume) Tags() ([]ocispec.Descriptor, error) {
	b, err := v.Index()
	if err != nil {
		return nil, err
	}
	list, err := store.ParseIndex(b)
	if err != nil {
		return nil, untrusted("volume %s: %s: %w", v.Name(), nameIndex, err)
	}
	return list, nil
}

// bytes returns the bytes of m, verified against want, or against the
// checksum alone where want is "".
func (v *Volume) bytes(m *member, want digest.Digest, limit int64) ([]byte, error) {
	if m.size > limit {
		return nil, fmt.Errorf("volume %s: %s: %d bytes, at most %d wanted: %w", v.Name(), m.name, m.size, limit, store.ErrTooLarge)
	}
	b := make([]byte, m.size)
	if _, err := io.ReadFull(v.content(m), b); err != nil {
		return nil, fmt.Errorf("volume %s: %s: %w", v.Name(), m.name, err)
	}
	if got := digest.Of(b); want != "" && got != want {
		return nil, untrusted("volume %s: %s: its bytes are %s: %w", v.Name(), m.name, got, digest.ErrMismatch)
	}
	if crc32.ChecksumIEEE(b) != m.crc {
		return nil, untrusted("volume %s: %s: checksum: %w", v.Name(), m.name, digest.ErrMismatch)
	}
	return b, nil
}

// read reads the structure of the volume in r, which has size bytes, into v.
func (v *Volume) read(r io.ReaderAt, size int64) error {
	head := make([]byte, stubSize)
	n, err := r.ReadAt(head, 0)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case httpx.IsPage("", head[:n]):
		return errs.Hint(untrusted("a web page, not a volume"), "a login page of the network (a captive portal) was saved in its place: log in, and get the file again")
	case n < len(head):
		return untrusted("%d bytes: not a volume, or cut short", size)
	}
	if !bytes.HasPrefix(head, []byte(magic)) {
		if text, ok := strings.CutPrefix(string(head[:len(magic)+8]), magicStem); ok {
			line, _, _ := strings.Cut(text, "\n")
			hint := "use a newer overland or overland-agent"
			if n, err := strconv.Atoi(line); err == nil && n < version {
				hint = "seal it again, with an overland of today"
			}
			return errs.Hint(untrusted("format version %.8q, this program reads %d", line, version), "%s", hint)
		}
		return untrusted("not a volume")
	}
	end, err := readEnd(r, size)
	if err != nil {
		return err
	}
	if v.members, err = readDirectory(r, end); err != nil {
		return err
	}
	if err := v.readDocument(r); err != nil {
		return fmt.Errorf("%s: %w", nameDocument, err)
	}
	return v.compare(r, size, head)
}

// readDocument reads overland.json before the places of the other entries are
// checked: they depend on what it says.
func (v *Volume) readDocument(r io.ReaderAt) error {
	i := slices.IndexFunc(v.members, func(m member) bool { return m.name == nameDocument })
	if i < 0 {
		return untrusted("missing")
	}
	m := v.members[i]
	if m.size > maxFile {
		return untrusted("%d bytes, at most %d", m.size, maxFile)
	}
	m.data = m.header + lenLocal + int64(len(m.name))
	b := make([]byte, m.size)
	if n, err := r.ReadAt(b, m.data); n < len(b) {
		return untrusted("cut short: %w", err)
	}
	if crc32.ChecksumIEEE(b) != m.crc {
		return untrusted("checksum: %w", digest.ErrMismatch)
	}
	var err error
	if v.doc, err = parseDocument(b); err != nil {
		return errs.E(errs.Untrusted, err)
	}
	v.digest = digest.Of(b) // completed by compare
	return nil
}

// compare refuses a volume that is not laid out as Seal would lay it out: other places, other
// headers, bytes between entries, another program in front, anything behind.
func (v *Volume) compare(r io.ReaderAt, size int64, head []byte) error {
	agents := v.doc.agents()
	found := slices.Clone(v.members)
	var err error
	if v.dir, err = arrange(v.members, agents); err != nil {
		return errs.E(errs.Untrusted, err)
	}
	v.names = make(map[string]int, len(v.members))
	sizes := make(map[digest.Digest]int64, len(v.members))
	for i := range v.members {
		m := &v.members[i]
		if m.name != found[i].name || m.header != found[i].header {
			return untrusted("%s: at offset %d, where %s belongs", found[i].name, found[i].header, m.name)
		}
		v.names[m.name] = i
		if d := m.digest(); d != "" {
			sizes[d] = m.size
			if v.doc.Packed[d].Size != m.packed {
				return untrusted("%s: %d bytes in the file, %s says %d", m.name, m.length(), nameDocument, v.doc.Packed[d].Size)
			}
		} else if m.size > maxFile {
			return untrusted("%s: %d bytes, at most %d", m.name, m.size, maxFile)
		} else if _, ok := v.doc.Files[m.name]; !ok && m.name != nameDocument {
			return untrusted("%s: not listed in %s", m.name, nameDocument)
		}
	}
	for d := range v.doc.Packed {
		if !v.Has(d) {
			return untrusted("blob %s: missing", d)
		}
	}
	for name := range v.doc.Files {
		if v.find(name) == nil || name == nameDocument {
			return untrusted("%s: missing", name)
		}
	}
	if v.find(nameIndex) == nil || v.doc.Files[nameLayout] != digest.Of([]byte(ociLayout)) {
		return untrusted("%s or %s: missing, or not a layout that this program reads", nameIndex, nameLayout)
	}
	if err := checkListed(sizes, agents, nil); err != nil {
		return errs.E(errs.Untrusted, err)
	}
	if v.stub, err = stub(agents, v.members); err != nil {
		return errs.E(errs.Untrusted, err)
	}
	if at := differ(head, v.stub); at >= 0 {
		return untrusted("the program in front is not the one that Overland puts there (byte %d): damaged or forged", at)
	}
	return v.compareTail(r, size)
}

func (v *Volume) compareTail(r io.ReaderAt, size int64) error {
	directory, end := tail(v.members, v.dir)
	v.tail = append(directory, end...)
	if v.dir+int64(len(v.tail)) != size {
		return untrusted("%d bytes, its entries make %d", size, v.dir+int64(len(v.tail)))
	}
	got := make([]byte, len(v.tail))
	if n, err := r.ReadAt(got, v.dir); n < len(got) {
		return fmt.Errorf("central directory: %w", err)
	}
	if at := differ(got, v.tail); at >= 0 {
		return untrusted("central directory: damaged or forged (byte %d)", v.dir+int64(at))
	}
	doc := v.find(nameDocument)
	b := make([]byte, doc.size)
	if n, err := r.ReadAt(b, doc.data); n < len(b) || digest.Of(b) != v.digest {
		return untrusted("%s: changed while it was read: %w", nameDocument, errors.Join(err, digest.ErrMismatch))
	}
	v.digest = identity(b, directory)
	return nil
}

// differ returns the first offset at which a and b, of one length, differ, or -1.
func differ(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}
