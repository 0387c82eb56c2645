package record

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/origin"
)

// Item is one external thing that a client of a protocol asked for.
type Item struct {
	Protocol string      // "go", "npm", "pypi", "cargo", "apt", "url"
	Key      string      // canonical request below the protocol, the name in the lock: "golang.org/x/text/@v/v0.3.0.zip"
	Upstream string      // absolute URL to get it from, "" = nowhere; not part of Key if the protocol has a configured upstream
	Mutable  bool        // an index or "latest": frozen per session; otherwise it never changes
	AtOnce   bool        // of Mutable: what is held is the answer, however old, and revalidated for those who come later
	Limit    int64       // largest acceptable size in bytes; 0 = origin.DefaultLimit
	Header   http.Header // request headers that matter upstream (Accept for npm), fixed by the protocol, or the client's if Whole
	HTML     bool        // a web page is an acceptable answer
	Whole    bool        // every answer is passed on and held, with its status and header; it may depend on Header: see question
	Follow   bool        // of Whole: redirects are followed, so that the key stands for what they lead to
	Method   string      // "" = GET
	Once     bool        // not asked twice: what it does at the origin must not be done again
	Body     []byte      // sent with a Method other than GET; part of Key through its digest
	Named    string      // the origin in whose document Upstream stands; "" = it is the configured one
	Beyond   bool        // who asks reaches nothing of this machine itself: see origin.Request
	Fallback []string    // further URLs, asked in turn when the ones before answer "not found"
	Unpacked bool        // the client wants what is packed in it, which Serve gives it; what is fetched and held is the same
	Local    bool        // Upstream and Fallback are the operator's own words: file: URLs are read from the disk
	Secrets  string      // what Upstream has and Key lacks, because it must not be stored; "" = nothing
}

// Request returns the request for it to its origin.
func (it Item) Request() origin.Request {
	return origin.Request{
		URL: it.Upstream, Named: it.Named, Beyond: it.Beyond, Name: it.Key, Fallback: it.Fallback, Method: it.Method, Header: it.Header, Body: it.Body,
		Limit: it.Limit, Page: it.HTML, Whole: it.Whole, Follow: it.Follow, Once: it.Once, Local: it.Local,
	}
}

// Protocol is one ecosystem's way to request things. Its methods are safe for concurrent use. What
// only some ecosystems have is in Locator, Witness and Lister, which a Protocol may also implement.
type Protocol interface {
	// Name returns the protocol's name, which is also where it is mounted.
	Name() string
	// Item returns what r asks for; r.URL.Path is below the protocol's mount and starts with "/".
	// What the protocol does not serve is errs.Invalid.
	Item(r *http.Request) (Item, error)
	// ItemOf returns the Item with that key: errs.Invalid when there is none.
	ItemOf(key string) (Item, error)
	// Check proves body before anything is stored: errs.Untrusted when the ecosystem's
	// own proof fails. have opens what is held of the same protocol. body is at its
	// start; Check may leave it anywhere.
	Check(ctx context.Context, it Item, body io.ReadSeeker, have Lookup) (lockfile.Proof, error)
	// Serve returns what the client gets for the stored body, and its media type. base
	// is the absolute URL of the mount, without a trailing slash. A protocol that
	// changes nothing returns body itself.
	Serve(it Item, e lockfile.Entry, body io.Reader, base string) (io.Reader, string, error)
}

// Locator is a Protocol that learns the addresses of some of its items from an index that is held.
type Locator interface {
	// Locate returns it, which Item made, with its Upstream. It is called only before a fetch: what
	// is held, as in a replay, needs no address. errs.NotFound when nothing that is held names it.
	Locate(ctx context.Context, it Item, have Lookup) (Item, error)
}

// Witness is a Protocol with a third party that also vouches for the bytes. Check does not ask it:
// the clients of a recording ask it themselves, and need not wait for ours.
type Witness interface {
	// Witness returns proof, which Check returned, completed with what the third party says:
	// errs.Untrusted when that contradicts it.
	Witness(ctx context.Context, it Item, proof lockfile.Proof) (lockfile.Proof, error)
	// AskAhead asks the third party while the bytes of it are arriving, so that
	// Witness finds the answer held.
	AskAhead(ctx context.Context, it Item)
}

// Glancer is a Protocol some of whose proofs take long, and are compared with nothing before a Witness is
// asked: a hash of all that is unpacked. The clients of a recording compute it themselves, beside ours.
type Glancer interface {
	// Glance refuses what is of another kind than it, and reports whether that is enough for the clients of a
	// recording: Check follows. The lock waits for it.
	Glance(it Item, body io.ReadSeeker) (enough bool, err error)
}

// Lister is a Protocol whose signed lists say which bytes a name stands for, and
// which other lists belong to them.
type Lister interface {
	// Resolve returns the Item that it stands for according to the lists that are
	// held: an index that a signed list names by digest is that content, whatever the
	// origin has under the name today.
	Resolve(ctx context.Context, it Item, have Lookup) (Item, error)
	// Identify returns the digest that the lists give for it: errs.NotFound when
	// none does. The same bytes may be in several places, and which one a client
	// uses depends on its configuration.
	Identify(ctx context.Context, it Item, have Lookup) (digest.Digest, error)
	// Binds returns the keys of everything that the list under key names:
	// they are only useful together.
	Binds(ctx context.Context, key string, have Lookup) ([]string, error)
	// ReadAhead reads from it, which is held now, what later answers will need. The
	// client does not wait for that.
	ReadAhead(ctx context.Context, it Item, have Lookup)
}

// Chooser is a Protocol that proves some bytes by the first of several lists that was there.
type Chooser interface {
	// Choose returns, at the end of a recording, the proof of e that the lock gets: among those that are as good, the same one
	// whatever came first. It reads nothing.
	Choose(e lockfile.Entry) lockfile.Proof
}

// Lookup opens what is held of a protocol under key: errs.NotFound when
// nothing is. The caller closes it.
type Lookup func(ctx context.Context, key string) (io.ReadCloser, error)

// History is what a Protocol may ask of a cache whose clients have lists of different days.
type History interface {
	// Past opens the version under key that n newer ones followed: errs.NotFound when there
	// is none. The caller closes it.
	Past(ctx context.Context, protocol, key string, n int) (io.ReadCloser, error)
	// Recheck marks what is held under key as stale: the next Get revalidates it.
	Recheck(ctx context.Context, protocol, key string) error
}

// ItemOf returns the Item of p with this key: errs.Invalid when there is none.
func ItemOf(p Protocol, key string) (Item, error) {
	it, err := p.ItemOf(key)
	if err == nil && it.Key != key {
		err = errs.Errorf(errs.Invalid, "%s: %.200q is not a key", p.Name(), key)
	}
	return it, err
}

// ByPath returns the Item that p makes of a request for the path key: ItemOf of a
// Protocol whose keys are paths.
func ByPath(p Protocol, key string) (Item, error) {
	return p.Item(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/" + key}, Header: http.Header{}})
}
