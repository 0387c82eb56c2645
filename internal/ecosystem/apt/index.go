package apt

import (
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/therootcompany/xz"

	"overland/internal/errs"
)

const (
	indexLimit    = 1 << 30 // bytes of an index, unpacked; the largest one known is 60 MB
	indexPackages = 2 << 20 // files that an index may list
)

// table holds what an index lists. A large one has 100,000 files: so their names are kept as half a sha256 each, and
// the whole takes a tenth of the index.
type table map[[16]byte]entry

type entry struct {
	size int64
	sum  [sha256.Size]byte
}

func half(name string) (h [16]byte) {
	sum := sha256.Sum256([]byte(name))
	copy(h[:], sum[:])
	return h
}

// find returns what t says of the file called name, a path below the archive.
func (t table) find(name string) (listed, bool) {
	e, ok := t[half(name)]
	return listed{Size: e.size, SHA256: hex.EncodeToString(e.sum[:])}, ok
}

func (t table) add(name, size, sum string) error {
	n, err := parseSize(size)
	if err != nil {
		return err
	}
	if !isHex(sum, 2*sha256.Size) {
		return fmt.Errorf("sha256 %q", clip(sum))
	}
	e := entry{size: n}
	_, _ = hex.Decode(e.sum[:], []byte(sum)) // isHex looked
	k := half(path.Clean(name))
	if old, there := t[k]; there && old != e {
		return fmt.Errorf("two contents of %s", clip(name))
	}
	if t[k] = e; len(t) > indexPackages {
		return fmt.Errorf("more than %d files", indexPackages)
	}
	return nil
}

// parseIndex returns the files that r, an unpacked Packages or Sources index, lists. Syntax errors are errs.Invalid.
// Files without a sha256 are left out: nothing weaker proves them.
func parseIndex(r io.Reader) (table, error) {
	t := table{}
	d := newDecoder(&limited{r, indexLimit}, "filename", "size", "sha256", "directory", "checksums-sha256")
	for {
		p, err := d.next()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, fmt.Errorf("index: %w", err)
		}
		if name := p["filename"]; name != "" && p["sha256"] != "" {
			err = t.add(name, p["size"], p["sha256"])
		} else if sums := p["checksums-sha256"]; sums != "" {
			err = t.addSource(p["directory"], sums)
		}
		if err != nil {
			return nil, errs.E(errs.Invalid, fmt.Errorf("index: before line %d: %w", d.line, err))
		}
	}
}

// addSource adds the parts of a source package: lines of digest, size and name.
func (t table) addSource(dir, sums string) error {
	for line := range strings.Lines(sums) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return fmt.Errorf("%q is not digest, size and name", clip(line))
		}
		if err := t.add(path.Join(dir, words[2]), words[1], words[0]); err != nil {
			return err
		}
	}
	return nil
}

// unpack returns a reader of what r packs: xz, gzip, bzip2 or nothing, told by its first bytes, for a by-hash name
// does not say.
func unpack(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch h := string(head); {
	case strings.HasPrefix(h, "\xfd7zXZ\x00"):
		x, err := xz.NewReader(b, xz.DefaultDictMax)
		if err != nil {
			return nil, errs.E(errs.Invalid, err)
		}
		return x, nil
	case strings.HasPrefix(h, "\x1f\x8b"):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, errs.E(errs.Invalid, err)
		}
		return z, nil
	case strings.HasPrefix(h, "BZh"):
		return bzip2.NewReader(b), nil
	case strings.HasPrefix(h, "\x28\xb5\x2f\xfd"), strings.HasPrefix(h, "\x5d\x00\x00"):
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "an index packed with zstd or lzma"),
			"run apt with -o Acquire::CompressionTypes::Order::=xz")
	}
	return b, nil
}

// limited reads at most n bytes of r; a longer one is errs.Invalid.
type limited struct {
	r io.Reader
	n int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.n <= 0 {
		return 0, errs.Errorf(errs.Invalid, "too long")
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.n)])
	l.n -= int64(n)
	return n, err
}
