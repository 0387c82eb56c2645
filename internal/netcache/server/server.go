package server

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"

	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache"
	"overland/internal/store"
)

const maxBlob = 16 << 30 // bytes of a blob, by default

// Options changes what a network cache takes and gives. The zero value serves
// readers and lets nobody write.
type Options struct {
	// Policy is asked for each request, so that a revoked key or account counts at once; nil =
	// nobody may write. Always makes one of a Policy that stays.
	Policy func() *Policy
	// Audit makes an event durable: it is called before the client hears of its write. nil =
	// the file audit.log of the shelf.
	Audit func(e Event) error
	// Hides says of which blobs of the depot a writer is not told that they are there: it sends the bytes. nil = of none.
	Hides   func(ctx context.Context, d digest.Digest) (bool, error)
	Through *Through     // where what is not here may be; nil = nowhere
	MaxBlob int64        // bytes of a blob that is accepted; 0 = 16 GiB
	Log     *slog.Logger // nil = none
	Clock   clock.Clock  // nil = the machine's
}

// Server is a network cache: what its Shelf holds, who may write there, and where it fetches what
// it lacks. It is safe for concurrent use.
type Server struct {
	shelf   *Shelf
	o       Options
	through *through // nil = nobody is asked
	writers *writers
}

// New returns a server of shelf. The caller ends it with Close.
func New(shelf *Shelf, o Options) *Server {
	o.MaxBlob = cmp.Or(o.MaxBlob, maxBlob)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Policy == nil {
		o.Policy = Always(Policy{})
	}
	o.Clock = o.Clock.Or()
	if o.Audit == nil {
		o.Audit = (&audit{shelf: shelf}).note
	}
	s := &Server{shelf: shelf, o: o, writers: &writers{}}
	if o.Through != nil {
		s.through = newThrough(s, *o.Through)
	}
	return s
}

// Close ends what is being fetched from elsewhere.
func (s *Server) Close() {
	if s.through != nil {
		s.through.calls.Close()
	}
}

// By is the author of a write.
type By struct {
	Account Account
	Remote  string // the address, for the audit log
	Client  string // whoever shares it is one writer where accounts are not known: an address without a port
}

// writer returns who owns the uploads of by: its account, or its client where everybody may write.
func (by By) writer() string {
	if by.Account.Identity != "" {
		return "account " + by.Account.Identity
	}
	return "client " + by.Client
}

// Writer returns the account that a client with this certificate, nil = it has none, writes for.
// The error is errs.Denied when it may write nothing.
func (s *Server) Writer(c *x509.Certificate) (Account, error) { return s.o.Policy().writer(c) }

// Wait runs do and returns its error. Meanwhile it may tell whoever waits how far the work is:
// progress returns a number that rises.
type Wait func(progress func() int64, do func() error) error

// Blob opens the blob called name, which is fetched first where that is needed and allowed: within
// wait. The caller closes it. The error is errs.NotFound when it is nowhere.
func (s *Server) Blob(ctx context.Context, name string, wait Wait) (store.Blob, error) {
	b, err := s.shelf.Open(ctx, name)
	if errs.KindOf(err) == errs.NotFound && netcache.ValidName(name) && s.through.may(ctx) {
		if err = s.through.blob(ctx, name, wait); err == nil {
			b, err = s.shelf.Open(ctx, name)
		}
	}
	if err == nil && s.through != nil && s.through.o.Used != nil {
		s.through.o.Used(name)
	}
	return b, err
}

// PutBlob stores what r yields, size bytes or -1, and returns its sha512. With
// want set, other bytes are refused.
func (s *Server) PutBlob(ctx context.Context, by By, r io.Reader, want string, size int64) (name string, err error) {
	end, err := s.writers.enter(by.writer(), ownWrites)
	if err != nil {
		return "", err
	}
	defer end()
	name, n, err := s.shelf.PutBlob(ctx, r, want, size, s.o.MaxBlob)
	return name, s.note(by, Event{Action: "blob", Name: name, Size: n}, err)
}

// Part is a part of an upload that may go on after a break.
type Part struct {
	From int64         // where the part begins; it goes on to the end. -1 = none is sent: how much is there?
	Size int64         // of the whole blob, in bytes
	Sum  digest.Digest // of the whole blob
	ID   string        // by which its client knows the upload again, and nobody else does; "" = its writer has one for each blob
	// Stop ends the reading of the part: its client has come back, and nothing came on this
	// connection for a while. nil = it cannot be.
	Stop func()

	secret bool // that the depot has it may not be told: it is sent as if it were not there
}

// PutPart appends the part p of the blob called name, in r, and returns how many bytes of the blob
// are there then: with p.Size it is stored.
func (s *Server) PutPart(ctx context.Context, by By, r io.Reader, name string, p Part) (there int64, err error) {
	if p.Size > s.o.MaxBlob {
		return 0, tooLarge(s.o.MaxBlob)
	}
	end, err := s.writers.enter(by.writer(), ownWrites)
	if err != nil {
		return 0, err
	}
	defer end()
	if s.o.Hides != nil {
		if p.secret, err = s.o.Hides(ctx, p.Sum); err != nil {
			return 0, err
		}
	}
	there, err = s.shelf.putPart(ctx, r, name, by.writer(), p, s.o.MaxBlob)
	if err == nil && there < p.Size {
		return there, nil // nothing is stored yet
	}
	return there, s.note(by, Event{Action: "blob", Name: name, Size: p.Size}, err)
}

// Entries returns the entries of key, newest first, after upstream was asked where that is due.
// What a revoked key signed is left out. turn is called when the list is about to be in memory; its error ends it.
func (s *Server) Entries(ctx context.Context, key string, turn func() error) ([]netcache.Entry, error) {
	var late error
	if s.through.may(ctx) {
		late = s.through.list(ctx, key)
	}
	if err := turn(); err != nil {
		return nil, err
	}
	records, err := s.shelf.List(key)
	if errs.KindOf(err) == errs.NotFound && late != nil {
		err = errs.E(errs.Unavailable, late) // upstream may have some
	}
	if err != nil {
		return nil, err
	}
	policy, list := s.o.Policy(), make([]netcache.Entry, 0, len(records))
	for _, rec := range records {
		e, err := netcache.NewEntry(rec.Metadata, rec.Signature)
		if err == nil && !policy.revoked(e, rec.Signer) {
			list = append(list, e)
		}
	}
	return list, nil
}

// PutEntry stores the entry that r yields, in its form on the wire, under key.
func (s *Server) PutEntry(ctx context.Context, by By, key string, r io.Reader) error {
	done := Event{Action: "entry", Key: key}
	e, signer, err := s.admit(by.Account, key, r)
	if err == nil {
		err = s.shelf.Add(ctx, Record{
			Key: key, Metadata: e.Metadata, Signature: e.Signature, Time: s.o.Clock(), Account: by.Account.Name, Signer: signer,
		})
		done.Name, done.Signer = e.Name(), signer
	}
	return s.note(by, done, err)
}

// admit returns the entry in r when the account may put it under key.
func (s *Server) admit(account Account, key string, r io.Reader) (e netcache.Entry, signer string, err error) {
	if err := netcache.CheckKey(key); err != nil {
		return e, "", err
	}
	if err := account.may(key); err != nil {
		return e, "", err
	}
	body, err := fsx.Read(r, "the entry", netcache.EntryLimit)
	if err != nil {
		return e, "", errs.Errorf(errs.Invalid, "%v", err) // not %w: too long is a bad request here, not 413
	}
	if e, err = netcache.ParseEntry(body); err != nil {
		return e, "", err
	}
	signer, warning, err := s.o.Policy().admit(key, e)
	if warning != nil {
		s.o.Log.Warn("an entry of another key is accepted", "warning", warning, "account", account.Name)
	}
	return e, signer, err
}

// note writes the audit log's line of a write that ended with err, and returns err.
func (s *Server) note(by By, e Event, err error) error {
	e.Time, e.Account, e.Remote, e.Result = s.o.Clock(), by.Account.Name, by.Remote, "stored"
	if err != nil {
		e.Result = err.Error()
	}
	return errors.Join(err, s.o.Audit(e))
}
