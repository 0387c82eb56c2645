package deb

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"overland/internal/archive"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// IndexLimit is how long an index may be, in bytes, packed or not; the largest
// one known has 60 MB, unpacked.
const IndexLimit = 1 << 30

const indexPackages = 2 << 20 // files that an index may list

// Index holds what a Packages or Sources index lists. A large one has 100,000 files: so their names
// are kept as half a sha256 each, and the whole takes a tenth of the index.
type Index map[[16]byte]entry

type entry struct {
	size int64
	sum  [sha256.Size]byte
}

func half(name string) (h [16]byte) {
	sum := sha256.Sum256([]byte(name))
	copy(h[:], sum[:])
	return h
}

// Find returns what x says of the file called name, a clean path below the archive.
func (x Index) Find(name string) (File, bool) {
	e, ok := x[half(name)]
	return File{Size: e.size, SHA256: hex.EncodeToString(e.sum[:])}, ok
}

func (x Index) add(name, size, sum string) error {
	n, err := parseSize(size)
	if err != nil {
		return err
	}
	if !isHex(sum, 2*sha256.Size) {
		return fmt.Errorf("sha256 %.100q", sum)
	}
	e := entry{size: n}
	_, _ = hex.Decode(e.sum[:], []byte(sum)) // isHex said so
	k := half(path.Clean(name))
	if old, there := x[k]; there && old != e {
		return fmt.Errorf("two contents of %.100s", name)
	}
	if x[k] = e; len(x) > indexPackages {
		return fmt.Errorf("more than %d files", indexPackages)
	}
	return nil
}

// ReadIndex returns what r, a Packages or Sources index, packed or not, lists. It reads r only as
// far as the index goes. An index that does not parse, is longer than IndexLimit or lists more than
// 2 million files is errs.Invalid. Files without a sha256 are left out: nothing weaker proves them.
func ReadIndex(r io.Reader) (Index, error) {
	u, err := Unpack(r)
	if err != nil {
		return nil, err
	}
	return parseIndex(u)
}

func parseIndex(r io.Reader) (Index, error) {
	x := Index{}
	d := NewDecoder(fsx.Limit(r, IndexLimit), "filename", "size", "sha256", "directory", "checksums-sha256")
	for {
		p, err := d.next()
		if errors.Is(err, io.EOF) {
			return x, nil
		}
		if err != nil {
			return nil, fmt.Errorf("index: %w", err)
		}
		if name, size, sum, dir, sums := p[0], p[1], p[2], p[3], p[4]; name != "" && sum != "" {
			err = x.add(name, size, sum)
		} else if sums != "" {
			err = x.addSource(dir, sums)
		}
		if err != nil {
			return nil, errs.E(errs.Invalid, fmt.Errorf("index: before line %d: %w", d.line, err))
		}
	}
}

// addSource adds the parts of a source package: lines of digest, size and name.
func (x Index) addSource(dir, sums string) error {
	for line := range strings.Lines(sums) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return fmt.Errorf("%.100q is not digest, size and name", line)
		}
		if err := x.add(path.Join(dir, words[2]), words[1], words[0]); err != nil {
			return err
		}
	}
	return nil
}

// Unpack returns a reader of what r holds, unpacked: xz (a dictionary of at most 64 MiB), gzip,
// bzip2 or plain, told by its first bytes, because a by-hash name does not say. zstd and lzma are
// errs.Invalid. What it reads is not limited.
func Unpack(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	as := archive.PackingOf(head)
	if as == archive.Zstd || strings.HasPrefix(string(head), "\x5d\x00\x00") {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "an index packed with zstd or lzma"),
			"run apt with -o Acquire::CompressionTypes::Order::=xz")
	}
	u, _, err := archive.Unpack(b, as) // none of the others has something to free
	if err != nil {
		return nil, errs.E(errs.Invalid, err)
	}
	return u, nil
}
