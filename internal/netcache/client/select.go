package client

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/netcache"
)

// Outcome is how a request to the cache ended.
type Outcome string

// The outcomes. Only Hit brought something.
const (
	Hit         Outcome = "hit"
	Miss        Outcome = "miss"        // the cache has nothing for this key, or nothing that meets the filters
	Untrusted   Outcome = "untrusted"   // it has entries, and none of them is to be believed
	Corrupt     Outcome = "corrupt"     // the bytes are not those of the entry
	Unavailable Outcome = "unavailable" // it cannot be reached, or does not speak the protocol
)

// Found is an entry that is believed.
type Found struct {
	netcache.Entry
	Signer    netcache.Key
	Statement *netcache.Statement // nil when only the SHA-1 signature vouches for it
}

// Listing is what the cache has for a key.
type Listing struct {
	Found    []Found // statements first, the newest of them first; then in the server's order
	Rejected []error // why each of the others is not believed
	Outcome  Outcome // Hit, Miss, Untrusted or Unavailable
}

// Select asks for the entries of key that are to be believed and meet filters. The error is nil
// for a Hit; for a Miss it is errs.NotFound, for Untrusted errs.Untrusted. Without trusted keys
// nothing is asked: errs.Invalid.
func (n *Client) Select(ctx context.Context, key string, filters []netcache.Filter) (Listing, error) {
	list, err := n.list(ctx, key)
	if err != nil {
		return Listing{Outcome: outcomeOf(err)}, err
	}
	l := n.sift(key, list, filters)
	switch l.Outcome {
	case Untrusted:
		return l, errs.Errorf(errs.Untrusted, "key %q: %d entries, none is to be believed: %w", key, len(l.Rejected), l.Rejected[0])
	case Miss:
		return l, errs.Errorf(errs.NotFound, "no entry for key %q", key)
	default:
		return l, nil
	}
}

func outcomeOf(err error) Outcome {
	switch errs.KindOf(err) {
	case errs.NotFound:
		return Miss
	case errs.Untrusted:
		return Untrusted
	default:
		return Unavailable
	}
}

// list returns all entries of key, believed or not. Elements that are not entries are left out.
func (n *Client) list(ctx context.Context, key string) ([]netcache.Entry, error) {
	if err := netcache.CheckKey(key); err != nil {
		return nil, err
	}
	if err := n.configured(n.getKey, "download-dir-url"); err != nil {
		return nil, err
	}
	if len(n.keys)+len(n.certificates) == 0 {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "no key is trusted: what the cache says cannot be believed"),
			"set overland-key-list, or signature-certificate-list and --sha1")
	}
	w := httpx.NewWatchdog(ctx, 2*n.o.Stall)
	defer w.Stop()
	resp, err := n.getKey.do(w.Context(), http.MethodGet, key, nil, 0, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, refused(resp)
	}
	entries, _, err := netcache.ParseList(w.Over(resp.Body))
	return entries, errs.E(errs.Unavailable, err) // cut off, or a captive portal's page
}

func (n *Client) sift(key string, list []netcache.Entry, filters []netcache.Filter) (l Listing) {
	var believed []netcache.Entry
	found := map[[2]string]Found{}
	for _, e := range list {
		f, err := n.believe(key, e)
		if err != nil {
			l.Rejected = append(l.Rejected, err)
			continue
		}
		believed = append(believed, e)
		found[[2]string{e.Metadata, e.Signature}] = f
	}
	for _, e := range netcache.Apply(believed, filters) {
		l.Found = append(l.Found, found[[2]string{e.Metadata, e.Signature}])
	}
	// A server may hide entries or list them in any order: the signed numbers decide.
	slices.SortStableFunc(l.Found, func(a, b Found) int { return cmp.Compare(b.seq(), a.seq()) })
	switch {
	case len(l.Found) > 0:
		l.Outcome = Hit
	case len(believed) == 0 && len(l.Rejected) > 0:
		l.Outcome = Untrusted
	default:
		l.Outcome = Miss
	}
	return l
}

func (f Found) seq() int64 {
	if f.Statement == nil {
		return -1
	}
	return f.Statement.Seq
}

// believe returns who vouches for e as an entry of key, or an error (errs.Untrusted).
func (n *Client) believe(key string, e netcache.Entry) (Found, error) {
	s, err := netcache.ReadStatement(e, n.keys)
	if err == nil {
		// A good SHA-1 signature does not make up for a statement that has expired.
		if err := netcache.CheckStatement(s, key, n.o.Clock()); err != nil {
			return Found{}, err
		}
		if err := n.notOlder(key, e, s.Seq); err != nil {
			return Found{}, err
		}
		return Found{Entry: e, Signer: signerOf(n.keys, s.KeyID), Statement: &s}, nil
	}
	k, ok := netcache.Signer(n.certificates, e)
	if !ok {
		return Found{}, errs.E(errs.Untrusted, err)
	}
	if err := netcache.CheckBinding(key, e, n.o.Unbound); err != nil {
		return Found{}, err
	}
	return Found{Entry: e, Signer: k}, nil
}

func signerOf(keys []netcache.Key, id string) netcache.Key {
	for _, k := range keys {
		if k.ID == id {
			return k
		}
	}
	return netcache.Key{ID: id}
}
