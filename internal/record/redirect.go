package record

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/lockfile"
	"overland/internal/origin"
)

// redirects is how many in a row lead to an address that a lock does not hold.
const redirects = 10

// leads notes where e, the answer to it, redirects to, if that is an address with a secret: a lock has it
// masked, so that a client that is served from the lock asks for what nobody has.
func (r *Recorder) leads(p Protocol, it Item, e lockfile.Entry) {
	to, ok := e.Header.Get("location")
	if !it.Whole || !ok || it.Method != "" {
		return
	}
	at, err := resolve(it.Upstream, to)
	if err != nil {
		return
	}
	u, err := url.Parse(at)
	if err != nil {
		return
	}
	target, err := p.Item(&http.Request{Method: http.MethodGet, URL: u})
	if err != nil || !masked(target) && target.Secrets == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.led[target.Key] = it
}

func resolve(base, to string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	u, err := b.Parse(to)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// masked reports whether the address of it has marks in the place of secrets.
func masked(it Item) bool { return it.Secrets == "" && strings.Contains(it.Upstream, "="+httpx.Mask) }

// address returns where it is to be asked for: where it says, or, when that is masked, where what led
// there leads to today.
func (r *Recorder) address(ctx context.Context, it Item, most int) (string, error) {
	r.mu.Lock()
	from, ok := r.led[it.Key]
	r.mu.Unlock()
	if !ok || !masked(it) || most == 0 {
		return it.Upstream, nil
	}
	at, err := r.address(ctx, from, most-1)
	if err != nil {
		return "", err
	}
	ask := from.Request()
	ask.URL = at
	a, err := r.up.Get(ctx, ask)
	if err != nil {
		return "", err
	}
	defer a.Close()
	to := a.Header.Get("Location")
	if to == "" {
		return "", errs.E(httpx.KindOf(a.Status), &origin.StatusError{URL: a.URL, Status: a.Status})
	}
	return resolve(at, to)
}

// discreet drops the body of f, the answer to it, if it repeats a secret: an address that a redirect
// names, or what the client sent. A person reads such a body; a depot is copied.
func discreet(it Item, f *origin.Answer) error {
	if !it.Whole || f.Status < http.StatusMultipleChoices {
		return nil
	}
	words := strings.Fields(it.Secrets)
	if _, found := lockfile.NewFields([]string{"location: " + clean(f.Header.Get("Location"))}).Masked(); found {
		words = append(words, "") // in whatever way it is written
	}
	for name, values := range it.Header {
		if lockfile.Secret(strings.ToLower(name)) {
			for _, v := range values {
				for _, pair := range pairs(v) {
					words = append(words, strings.TrimPrefix(pair, "="))
				}
			}
		}
	}
	const most = 1 << 20
	head, err := fsx.Head(f.Body, most)
	if err != nil {
		return err
	}
	for _, word := range words {
		if bytes.Contains(head, []byte(word)) {
			if err := f.Body.Truncate(0); err != nil {
				return err
			}
			f.Digest, f.Size = "", 0
			break
		}
	}
	_, err = f.Body.Seek(0, io.SeekStart)
	return err
}
