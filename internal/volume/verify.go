package volume

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/progress"
	"overland/internal/store"
)

// Verify reads the volume once, front to back, and returns an error (errs.Untrusted) that names
// the first thing that is wrong: a part, a header, an entry. It checks bytes; whom to believe
// about them is up to trust. show, which may be nil, is called from Verify's goroutine; its last
// event comes after the last check.
func (v *Volume) Verify(ctx context.Context, show func(progress.Event)) error {
	return v.VerifyExcept(ctx, nil, show)
}

// VerifyExcept is Verify without the bytes of the blobs for which except returns true:
// the caller, who copies those out, verifies them on the way, so that nothing is hashed
// twice. A nil except is Verify.
func (v *Volume) VerifyExcept(ctx context.Context, except func(digest.Digest) bool, show func(progress.Event)) error {
	w := &walker{v: v, except: except, show: show}
	if err := v.walk(ctx, w, func(*member) (io.WriteCloser, error) { return nil, nil }); err != nil {
		return fmt.Errorf("verify volume %s: %w", v.Name(), err)
	}
	w.report(v.Size())
	return nil
}

// walk reads and checks everything that w does not except, in order, and writes each entry's bytes
// to what open returns for it, before they are checked; a nil writer takes nothing. A writer is
// closed after its entry was checked.
func (v *Volume) walk(ctx context.Context, w *walker, open func(*member) (io.WriteCloser, error)) error {
	if err := v.checkIndex(); err != nil {
		return v.pieces.blame(ctx, err)
	}
	w.buf, w.parts = make([]byte, min(bufferSize, v.Size())), digest.New()
	err := w.run(ctx, open)
	if errs.KindOf(err) == errs.Untrusted {
		return v.pieces.blame(ctx, err)
	}
	return err
}

// checkIndex refuses an index.json that lists a manifest the volume does not have.
func (v *Volume) checkIndex() error {
	list, err := v.Tags()
	if err != nil {
		return err
	}
	sizes := make(map[digest.Digest]int64, len(list))
	for _, d := range list {
		if m := v.blob(d.Digest); m != nil {
			sizes[d.Digest] = m.size
		}
	}
	return errs.E(errs.Untrusted, checkListed(sizes, nil, list))
}

type walker struct {
	v       *Volume
	off     int64
	buf     []byte
	except  func(digest.Digest) bool // blobs to pass over; nil = none. With it, digests of parts are not checked
	show    func(progress.Event)
	part    int           // that off is in
	parts   digest.Hasher // of the bytes of that part so far
	partEnd int64         // offset
	done    []fsx.Behind  // for each file of the volume
}

// report says how many bytes were read.
func (w *walker) report(done int64) {
	if w.show != nil {
		w.show(progress.Event{Step: "verify", What: w.v.Name(), Done: done, Total: w.v.Size()})
	}
}

func (w *walker) run(ctx context.Context, open func(*member) (io.WriteCloser, error)) error {
	if w.v.pieces.parts != nil {
		w.partEnd = w.v.pieces.sizes[0]
	}
	for _, f := range w.v.pieces.files {
		w.done = append(w.done, fsx.Behind{File: f})
	}
	if err := w.same(w.v.stub, "the program in front"); err != nil {
		return err
	}
	var header []byte
	for i := range w.v.members {
		m := &w.v.members[i]
		header = appendLocal(header[:0], m)
		if err := w.same(header, "header of "+m.name); err != nil {
			return err
		}
		if d := m.digest(); d != "" && w.except != nil && w.except(d) {
			w.off += m.length()
			continue
		}
		out, err := open(m)
		if err != nil {
			return err
		}
		err = w.entry(ctx, m, out)
		if out != nil {
			if cerr := out.Close(); err == nil {
				err = cerr
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return w.same(w.v.tail, "central directory")
}

// same reads the next bytes and refuses them unless they are want.
func (w *walker) same(want []byte, what string) error {
	for len(want) > 0 {
		b := w.buf[:min(len(want), len(w.buf))]
		if err := w.read(b); err != nil {
			return err
		}
		if at := differ(b, want[:len(b)]); at >= 0 {
			return untrusted("%s: damaged or forged (byte %d)", what, w.off-int64(len(b)-at))
		}
		want = want[len(b):]
	}
	return nil
}

func (w *walker) entry(ctx context.Context, m *member, out io.Writer) error {
	raw := &passage{w: w, ctx: ctx, left: m.length()}
	content := io.Reader(raw)
	packed := digest.New()
	if m.packed > 0 {
		content = unpack(io.TeeReader(raw, packed), m.size)
	}
	h, crc := digest.New(), uint32(0)
	for {
		n, err := content.Read(w.buf)
		h.Write(w.buf[:n])
		crc = crc32.Update(crc, crc32.IEEETable, w.buf[:n])
		if out != nil {
			if _, err := out.Write(w.buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
		if errors.Is(err, digest.ErrMismatch) {
			return errs.E(errs.Untrusted, err)
		}
		if err != nil {
			return err
		}
	}
	want := m.digest()
	if want == "" {
		want = w.v.doc.Files[m.name]
	} else if p, ok := w.v.doc.Packed[want]; ok && packed.Digest() != p.Digest {
		return untrusted("its compressed bytes are %s: %w", packed.Digest(), digest.ErrMismatch)
	}
	if got := h.Digest(); want != "" && got != want {
		return untrusted("its bytes are %s: %w", got, digest.ErrMismatch)
	}
	if crc != m.crc {
		return untrusted("checksum: %w", digest.ErrMismatch)
	}
	return nil
}

// passage reads the next bytes of a walk.
type passage struct {
	w    *walker
	ctx  context.Context
	left int64
}

func (p *passage) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	b = b[:min(p.left, int64(len(b)))]
	if err := p.w.read(b); err != nil {
		return 0, err
	}
	p.left -= int64(len(b))
	p.w.report(p.w.off)
	return len(b), nil
}

// read fills b with the next bytes and hashes them for the part that they are in.
func (w *walker) read(b []byte) error {
	if n, err := w.v.pieces.ReadAt(b, w.off); n < len(b) {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return untrusted("cut short at byte %d while it was read", w.off+int64(n))
		}
		return err
	}
	w.off += int64(len(b))
	if w.v.pieces.parts == nil {
		w.done[0].At(w.off)
		return nil
	}
	if w.except != nil {
		return nil
	}
	for start := w.off - int64(len(b)); len(b) > 0; {
		n := min(int64(len(b)), w.partEnd-start)
		w.parts.Write(b[:n])
		b, start = b[n:], start+n
		w.done[w.part].At(start - (w.partEnd - w.v.pieces.sizes[w.part]))
		if start < w.partEnd {
			continue
		}
		if err := w.v.pieces.check(w.part, w.parts.Digest()); err != nil {
			return err
		}
		w.parts.Reset()
		if w.part++; w.part < len(w.v.pieces.sizes) {
			w.partEnd += w.v.pieces.sizes[w.part]
		}
	}
	return nil
}

var _ store.Getter = (*Volume)(nil)
