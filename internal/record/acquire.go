package record

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/store"
)

// Acquisition brings one Item to its holder: a Recorder, a site's cache. Fetch gets it from its
// origin; Adopt takes a copy that came another way. Both run the steps in one order, so that
// nothing is held that is not proved:
//
//	locate → ask the witness ahead → Get → stage → Locked → check → witness → Keep → read ahead
type Acquisition struct {
	Protocol Protocol
	Item     Item
	Have     Lookup // what is held, as the client sees it: the answer is checked against it
	Before   Lookup // what the answer is checked against in place of Have; nil = Have
	Where    Lookup // what is held, to find the item's address; nil = Have
	Store    store.Stager

	// Get asks the item's origin: origin.Client.Get, or a wrapper of it.
	Get func(ctx context.Context, r origin.Request) (*origin.Answer, error)
	// Locked is the lock's entry for the item: other bytes are a *ChangedError,
	// and the entry does not change.
	Locked *lockfile.Entry
	// Late says that Keep hands the bytes out first and calls Arrival.Witness itself.
	Late bool
	// Keep stores what arrived. Once it has returned, the item is held; clients may get it earlier.
	Keep func(ctx context.Context, a *Arrival) error
}

// Arrival is what arrived for an Acquisition, proved but not yet held.
type Arrival struct {
	Entry  lockfile.Entry
	Header http.Header // of the origin's answer; nil for a copy
	From   string      // the address that answered, without a password; "" for a copy

	witness func(context.Context) error // completes the proof; nil = the proof is complete
	staged  store.Staged                // nil for a copy, which is in the store
}

// Open opens what arrived, which has no name in the store yet.
func (a *Arrival) Open() (store.Blob, error) { return a.staged.Open() }

// Witness completes the proof of a.Entry, with what a third party says too: errs.Untrusted when that
// contradicts it. With Acquisition.Late, Keep calls it; otherwise it has been called before Keep.
func (a *Arrival) Witness(ctx context.Context) error {
	if a.witness == nil {
		return nil
	}
	return a.witness(ctx)
}

// Commit makes what arrived a blob, which is durable when Commit returns.
func (a *Arrival) Commit(ctx context.Context) error { return a.staged.Commit(ctx) }

// Fetch gets the item from its origin. Errors of the origin are those of origin.Client.Get.
func (q *Acquisition) Fetch(ctx context.Context) error {
	it, err := q.locate(ctx)
	if err != nil {
		return q.errorf(err, "locate: ")
	}
	asked := q.askAhead(ctx, it)
	defer asked()
	ask := it.Request()
	ask.Fixed = !it.Mutable && (q.Locked != nil || proves(q.Protocol, it))
	err = q.bring(ctx, it, ask, asked)
	if errors.Is(err, errSpliced) {
		ask.Fixed = false // the whole
		err = q.bring(ctx, it, ask, asked)
	}
	return err
}

// errSpliced means that what failed its proof was put together from parts of perhaps two versions.
var errSpliced = errors.New("put together from parts")

// bring gets the item, proves it and has it kept.
func (q *Acquisition) bring(ctx context.Context, it Item, ask origin.Request, asked func()) (err error) {
	f, err := q.Get(ctx, ask)
	if err != nil {
		return q.errorf(err, "")
	}
	defer f.Close()
	defer func() {
		if k := errs.KindOf(err); f.Spliced && (k == errs.Untrusted || k == errs.Conflict) {
			err = fmt.Errorf("%w: %w", errSpliced, err)
		}
	}()
	if q.Locked != nil && it.Whole && f.Status != q.Locked.Status {
		return q.errorf(errs.E(httpx.KindOf(f.Status), &origin.StatusError{URL: f.URL, Status: f.Status}), "")
	}
	if err := discreet(it, f); err != nil {
		return q.errorf(err, "")
	}
	a, done, err := q.proved(ctx, it, f)
	defer done()
	if err != nil {
		return err
	}
	asked()
	if err := q.hold(ctx, it, a); err != nil {
		return q.errorf(err, "")
	}
	return nil
}

// proved returns what f is, once it is proved. The bytes are f's, or, of an origin that encodes what it
// was asked for as it is, what was encoded: whichever are right. Those of a Whole item are its client's
// to decode. done frees them.
func (q *Acquisition) proved(ctx context.Context, it Item, f *origin.Answer) (a *Arrival, done func(), err error) {
	nothing := func() {}
	if it.Whole || len(f.Codings()) == 0 {
		a, err := q.arrive(ctx, it, f)
		return a, nothing, err
	}
	plain, undone := f.Decoded(cmp.Or(it.Limit, origin.DefaultLimit))
	if undone == nil && !it.HTML {
		if undone = origin.RefusePage(plain.Body); undone != nil {
			_ = plain.Close()
		}
	}
	if undone != nil { // the coding may be that of the file, which the origin misunderstands
		if a, err = q.arrive(ctx, it, f); err != nil {
			err = q.errorf(undone, "from %s: ", f.URL)
		}
		return a, nothing, err
	}
	free := func() { _ = plain.Close() }
	if packed(it.Key) {
		if a, err := q.arrive(ctx, it, f); err == nil {
			return a, free, nil
		}
	}
	a, err = q.arrive(ctx, it, plain)
	if err != nil && ctx.Err() == nil && !packed(it.Key) {
		if a, err := q.arrive(ctx, it, f); err == nil {
			return a, free, nil
		}
	}
	return a, free, err
}

// packed reports whether a file with this name is compressed by itself: servers that know such a name
// often give a Content-Encoding for it that they did not apply.
func packed(key string) bool {
	switch path.Ext(key) {
	case ".crate", ".gz", ".tgz", ".zst":
		return true
	}
	return false
}

// arrive stages the bytes of f and proves them.
func (q *Acquisition) arrive(ctx context.Context, it Item, f *origin.Answer) (*Arrival, error) {
	staged, err := q.Store.Stage(ctx, f.Body, store.Known{Digest: f.Digest, Size: f.Size})
	if err != nil {
		return nil, q.errorf(err, "")
	}
	if q.Locked != nil && staged.Digest() != q.Locked.Blob {
		return nil, errs.E(errs.Conflict, &ChangedError{it.Protocol, it.Key, f.URL, q.Locked.Blob, staged.Digest()})
	}
	if _, err := f.Body.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	a := &Arrival{Entry: entryOf(it, staged.Digest(), staged.Size(), f.MediaType), Header: f.Header, From: f.URL, staged: staged}
	if it.Whole {
		a.Entry.Status, a.Entry.Header = f.Status, fieldsOf(f.Header, f.MediaType)
		a.Entry.Mutable = a.Entry.Failed()
	}
	// What was put together from parts may have to be fetched anew, before a client has it.
	if err := q.prove(ctx, it, f.Body, a, q.Late && !f.Spliced); err != nil {
		return nil, q.errorf(err, "from %s: ", f.URL)
	}
	return a, nil
}

// Adopt takes b, a copy of the item with that media type, which is already in the store.
func (q *Acquisition) Adopt(ctx context.Context, b store.Blob, d digest.Digest, media string) error {
	if !q.Item.HTML {
		if err := origin.RefusePage(b); err != nil {
			return err
		}
	}
	a := &Arrival{Entry: entryOf(q.Item, d, b.Size(), media)}
	if err := q.prove(ctx, q.Item, b, a, false); err != nil {
		return err
	}
	return q.hold(ctx, q.Item, a)
}

func entryOf(it Item, d digest.Digest, size int64, media string) lockfile.Entry {
	return lockfile.Entry{
		Protocol: it.Protocol, Key: it.Key, Status: http.StatusOK, Mutable: it.Mutable, Blob: d, Size: size, MediaType: media,
	}
}

// errorf returns err with the name of the item.
func (q *Acquisition) errorf(err error, format string, args ...any) error {
	return fmt.Errorf("%s %s: %s%w", q.Item.Protocol, q.Item.Key, fmt.Sprintf(format, args...), err)
}

// locate returns the item with its address.
func (q *Acquisition) locate(ctx context.Context) (Item, error) {
	l, ok := q.Protocol.(Locator)
	if !ok {
		return q.Item, nil
	}
	where := q.Where
	if where == nil {
		where = q.Have
	}
	return l.Locate(ctx, q.Item, where)
}

// askAhead lets a Witness ask while the bytes are arriving, until end is called. end may be called
// more than once.
func (q *Acquisition) askAhead(ctx context.Context, it Item) (end func()) {
	w, ok := q.Protocol.(Witness)
	if !ok || q.Late || q.Locked != nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.AskAhead(ctx, it)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (q *Acquisition) against() Lookup {
	if q.Before != nil {
		return q.Before
	}
	return q.Have
}

// prove completes a.Entry, whose bytes are body. late says that a.Witness may do what takes long.
func (q *Acquisition) prove(ctx context.Context, it Item, body io.ReadSeeker, a *Arrival, late bool) (err error) {
	glanced := false
	if g, ok := q.Protocol.(Glancer); ok && late && q.Locked == nil && a.Entry.Status == http.StatusOK {
		if glanced, err = g.Glance(it, body); err != nil {
			return err
		}
	}
	if a.Entry.Status == http.StatusOK && !glanced {
		if a.Entry.Proof, err = q.Protocol.Check(ctx, it, body, q.against()); err != nil {
			return err
		}
	}
	if q.Locked != nil {
		a.Entry = *q.Locked
		return nil
	}
	w, vouched := q.Protocol.(Witness)
	a.witness = func(ctx context.Context) (err error) {
		if glanced {
			err = q.check(ctx, it, a)
		}
		if err == nil && vouched {
			a.Entry.Proof, err = w.Witness(ctx, it, a.Entry.Proof)
		}
		return err
	}
	if q.Late {
		return nil
	}
	return a.Witness(ctx)
}

// check completes a.Entry with the proof of what arrived.
func (q *Acquisition) check(ctx context.Context, it Item, a *Arrival) error {
	b, err := a.Open()
	if err != nil {
		return err
	}
	defer b.Close()
	if a.Entry.Proof, err = q.Protocol.Check(ctx, it, b, q.against()); err != nil {
		return q.errorf(err, "from %s: ", a.From)
	}
	return nil
}

func (q *Acquisition) hold(ctx context.Context, it Item, a *Arrival) error {
	if err := q.Keep(ctx, a); err != nil {
		return err
	}
	ReadAhead(ctx, q.Protocol, it, q.Have)
	return nil
}

// ReadAhead lets p read it, which is held now, if that speeds up later answers.
func ReadAhead(ctx context.Context, p Protocol, it Item, have Lookup) {
	if l, ok := p.(Lister); ok {
		l.ReadAhead(ctx, it, have)
	}
}
