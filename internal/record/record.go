package record

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/store"
)

// Item is one external thing that a client of a protocol asked for.
type Item struct {
	Protocol string      // "go", "npm", "pypi", "cargo", "apt", "url"
	Key      string      // canonical request below the protocol, the name in the lock: "golang.org/x/text/@v/v0.3.0.zip"
	Upstream string      // absolute URL to get it from, "" = nobody has it; not part of Key where the protocol has a configured upstream
	Mutable  bool        // an index or "latest": frozen per session; otherwise it never changes
	Limit    int64       // largest acceptable size in bytes; 0 = DefaultLimit
	Header   http.Header // request headers that matter upstream (Accept for npm), fixed by the protocol
	HTML     bool        // a web page is an acceptable answer
	Login    bool        // the client may log in: that an origin asks who it is, is passed on
	Method   string      // "" = GET
	Body     []byte      // sent with Method POST; part of Key through its digest
	Fallback []string    // further URLs, asked in turn when those before say that there is no such thing
}

// Protocol is one ecosystem's way to ask for things. Its methods are safe for concurrent use.
type Protocol interface {
	// Name returns the protocol's name, which is also where Handler mounts it.
	Name() string
	// Item returns what r asks for; r.URL.Path is below the protocol's mount and starts with "/". What the protocol
	// does not serve is errs.Invalid.
	Item(r *http.Request) (Item, error)
	// Check judges body before anything is stored: errs.Untrusted when the ecosystem's own proof fails. have opens what
	// this session holds of the same protocol. body is at its start, and is left anywhere.
	Check(ctx context.Context, it Item, body io.ReadSeeker, have Lookup) (lockfile.Proof, error)
	// Serve returns what the client gets for the stored body, and its media type. base is the absolute URL of the
	// mount, without a slash at the end. A protocol that changes nothing returns body itself.
	Serve(it Item, e lockfile.Entry, body io.Reader, base string) (io.Reader, string, error)
}

// Locator is a Protocol that learns only from what it holds, an index, where some of its items are.
type Locator interface {
	Protocol
	// Locate returns it, which Item made, with its Upstream. It is called before something is fetched, and only then:
	// what is held, as in a replay, needs no address. errs.NotFound when nothing that is held names it.
	Locate(ctx context.Context, it Item, have Lookup) (Item, error)
}

// Locate returns it with its Upstream, which a Locator finds only now.
func Locate(ctx context.Context, p Protocol, it Item, have Lookup) (Item, error) {
	l, ok := p.(Locator)
	if !ok {
		return it, nil
	}
	it, err := l.Locate(ctx, it, have)
	if err != nil {
		return it, fmt.Errorf("locate %s %s: %w", it.Protocol, it.Key, err)
	}
	return it, nil
}

// Identifier is a Protocol whose indexes say which bytes an item is: the same may lie in several places, and which one a
// client takes depends on its configuration.
type Identifier interface {
	// Identify returns the digest that what is held, and signed, gives for it: errs.NotFound when nothing does.
	Identify(ctx context.Context, it Item, have Lookup) (digest.Digest, error)
}

// Witnessed is a Protocol whose Check leaves out what a third party says of the bytes, for its clients judge them by the
// same: they need not wait for it.
type Witnessed interface {
	// Witness returns proof, of it, with what the third party says: errs.Untrusted when it speaks against it.
	Witness(ctx context.Context, it Item, proof lockfile.Proof) (lockfile.Proof, error)
}

// Preparer is a Protocol whose Check asks the network too: Prepare asks for that while the body is still on its way, and
// what it gets is held then. ctx ends with the transfer.
type Preparer interface {
	Prepare(ctx context.Context, it Item)
}

// Prepare lets p prepare the Check of it beside the caller, who waits with the returned function once it is checked, or
// is not to be.
func Prepare(ctx context.Context, p Protocol, it Item) (wait func()) {
	r, ok := p.(Preparer)
	if !ok {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Prepare(ctx, it)
	}()
	return func() {
		cancel()
		<-done
	}
}

// Reader is a Protocol that reads what it will need for later answers as soon as that is held: the client goes on
// meanwhile. have opens what is held.
type Reader interface {
	ReadAhead(ctx context.Context, it Item, have Lookup)
}

// ReadAhead lets p read it, which is held now, when that helps it.
func ReadAhead(ctx context.Context, p Protocol, it Item, have Lookup) {
	if r, ok := p.(Reader); ok {
		r.ReadAhead(ctx, it, have)
	}
}

// Lookup opens what a session already holds of a protocol under key: errs.NotFound when it holds nothing. The caller
// closes it.
type Lookup func(ctx context.Context, key string) (io.ReadCloser, error)

// History is what a Protocol may ask of a keeper that serves machines with lists of different days for long.
type History interface {
	// Past opens what was held under key before the newest n versions: errs.NotFound when there is nothing. The caller
	// closes it.
	Past(ctx context.Context, protocol, key string, n int) (io.ReadCloser, error)
	// Recheck has what is held under key asked for again the next time, however fresh it is.
	Recheck(ctx context.Context, protocol, key string) error
}

// Keeper answers requests: from what it holds, else from upstream, once for all who ask at the same time. The caller
// closes the blob; it is nil when the entry says that the thing does not exist.
type Keeper interface {
	Get(ctx context.Context, p Protocol, it Item) (lockfile.Entry, store.Blob, error)
}

// MissError is a request in a replay that was never recorded.
type MissError struct{ Protocol, Key string }

func (e *MissError) Error() string { return fmt.Sprintf("never recorded: %s %s", e.Protocol, e.Key) }

// ChangedError is content that is not what the lock holds for the same request. Nothing is replaced.
type ChangedError struct {
	Protocol, Key string
	Upstream      string
	Locked        digest.Digest
	Got           digest.Digest
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s %s changed: locked %s, upstream %s now has %s", e.Protocol, e.Key, e.Locked, e.Upstream, e.Got)
}

// miss returns the error of a request that was never recorded.
func miss(it Item) error {
	return errs.Hint(errs.E(errs.Unavailable, &MissError{it.Protocol, it.Key}),
		"run it once with a network: overland record -- CMD")
}
