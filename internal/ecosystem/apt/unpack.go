package apt

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"

	"overland/internal/deb"
	"overland/internal/lockfile"
)

// UnpackedHeader is a header field of a request for an index that asks for what is packed in it. Who chooses packages in a
// recording needs all of an index, and its recorder too: it is unpacked once for both.
const UnpackedHeader = "Overland-Unpacked"

// unpacking is an index that is read into a table while a client gets what is packed in it.
type unpacking struct {
	p      *Protocol
	entry  lockfile.Entry
	packed io.Reader
	plain  io.Reader // nil until it is read
}

// Read yields what is packed, without a table.
func (u *unpacking) Read(b []byte) (n int, err error) {
	if u.plain == nil {
		if u.plain, err = deb.Unpack(u.packed); err != nil {
			return 0, err
		}
	}
	return u.plain.Read(b)
}

// WriteTo implements io.WriterTo. The table is there before it returns.
func (u *unpacking) WriteTo(w io.Writer) (int64, error) {
	h := sha256.New()
	packed := io.TeeReader(u.packed, h)
	plain, err := deb.Unpack(packed)
	if err != nil {
		return 0, err
	}
	if u.p.hasTable(u.entry.Blob.Encoded()) {
		return io.Copy(w, plain)
	}
	from, to := io.Pipe()
	var table deb.Index
	var bad error
	done := make(chan struct{})
	go func() {
		defer close(done)
		table, bad = deb.ReadIndex(from)
		_, _ = io.Copy(io.Discard, from) // of an index that does not parse, the client gets all the same
	}()
	const piece = 256 << 10
	n, err := io.CopyBuffer(io.MultiWriter(w, to), struct{ io.Reader }{plain}, make([]byte, piece))
	_ = to.CloseWithError(err)
	<-done
	if err != nil || bad != nil {
		return n, err
	}
	if _, err := io.Copy(io.Discard, packed); err == nil && hex.EncodeToString(h.Sum(nil)) == u.entry.Blob.Encoded() {
		u.p.tablesMu.Lock()
		defer u.p.tablesMu.Unlock()
		u.p.keep(u.entry.Blob.Encoded(), table)
	}
	return n, nil
}

func (p *Protocol) hasTable(sum string) bool {
	p.tablesMu.Lock()
	defer p.tablesMu.Unlock()
	return p.tables[sum] != nil
}

// keep remembers what the index with this sha256 lists. The caller holds p.tablesMu.
func (p *Protocol) keep(sum string, t deb.Index) {
	if len(p.tables) >= tablesLimit {
		clear(p.tables)
	}
	p.tables[sum] = t
}

// readFirst sorts names of indexes, which r lists, so that those whose tables are there come first: another one may be on its way
// to a client at this moment.
func (p *Protocol) readFirst(names []string, r *deb.Release) {
	p.tablesMu.Lock()
	defer p.tablesMu.Unlock()
	slices.SortStableFunc(names, func(a, b string) int {
		switch x, y := p.tables[r.Files[a].SHA256] != nil, p.tables[r.Files[b].SHA256] != nil; {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
}
