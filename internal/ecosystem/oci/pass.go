package oci

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/origin"
)

const (
	answerLimit = 1 << 20          // bytes of an answer about passes
	openFor     = time.Minute      // that a registry is believed to want no pass
	passLife    = 60 * time.Second // of one that does not say; the specification's
	passMargin  = 10 * time.Second // before its end a pass is not used any more: the request is still to come
	mostPasses  = 4096
	longestPass = 16 << 10 // bytes; a server takes no longer line of a header, and thousands are held
)

// passes are what registries give who asks, everybody or who has a login: they want to see one with each request.
type passes struct {
	client *origin.Client
	logins map[string]func() (Login, bool, error) // by the registry's name; nil = there is none

	mu   sync.Mutex
	held map[string]pass // by the registry's name and repository: two may stand at one address, one of them with a login
}

type pass struct {
	text string // the value of Authorization; "" = none is wanted
	end  time.Time
}

// get returns what is sent as Authorization to pull from the repository name of the registry called from, which is at
// address; "" = nothing is wanted.
func (p *passes) get(ctx context.Context, from, address, name string) (string, error) {
	key := from + "/" + name
	p.mu.Lock()
	held, ok := p.held[key]
	p.mu.Unlock()
	if ok && time.Now().Before(held.end) {
		return held.text, nil
	}
	fresh, err := p.ask(ctx, from, address, name)
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil || len(p.held) >= mostPasses {
		p.held = map[string]pass{}
	}
	p.held[key] = fresh
	return fresh.text, nil
}

// ask finds out whether the registry wants a pass, and where it is given.
func (p *passes) ask(ctx context.Context, from, address, name string) (pass, error) {
	none := pass{end: time.Now().Add(openFor)}
	a, err := p.client.Get(ctx, origin.Request{URL: address + "/v2/", Whole: true, Page: true, Limit: answerLimit})
	if err != nil {
		return pass{}, err
	}
	defer a.Close()
	realm, service, basic := "", "", false
	for _, text := range a.Header.Values("Www-Authenticate") {
		kind, rest, _ := strings.Cut(text, " ")
		if strings.EqualFold(kind, "Bearer") {
			fields := parameters(rest)
			realm, service = fields["realm"], fields["service"]
		}
		basic = basic || strings.EqualFold(kind, "Basic")
	}
	var login Login
	if read := p.logins[from]; read != nil && a.Status == http.StatusUnauthorized {
		var ok bool
		if login, ok, err = read(); err != nil {
			return pass{}, err
		}
		if ok && realm == "" && basic {
			return pass{login.basic(), none.end}, nil
		}
	}
	switch {
	case a.Status >= http.StatusInternalServerError:
		return pass{}, errs.E(errs.Unavailable, &origin.StatusError{URL: httpx.Redacted(address), Status: a.Status})
	case a.Status != http.StatusUnauthorized, realm == "":
		return none, nil // what it refuses it refuses by itself
	}
	u, err := url.Parse(realm)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || strings.HasPrefix(address, "https:")) {
		return pass{}, errs.Errorf(errs.Untrusted, "%s: passes are given at %.200q: not an address over TLS", httpx.Redacted(address), realm)
	}
	q := u.Query()
	if service != "" {
		q.Set("service", service)
	}
	q.Set("scope", "repository:"+name+":pull")
	u.RawQuery = q.Encode()
	return p.fetch(ctx, address, u, login)
}

// fetch gets a pass from where the registry at address says that it is given, for login, or for everybody.
func (p *passes) fetch(ctx context.Context, address string, from *url.URL, login Login) (pass, error) {
	begun := time.Now()
	r := origin.Request{URL: from.String(), Named: address, Limit: answerLimit}
	if login != (Login{}) {
		if from.Scheme != "https" && !loopback(from.Hostname()) {
			return pass{}, errs.Errorf(errs.Untrusted, "%s: passes are given at %.200q: no login is sent there, it is not over TLS", httpx.Redacted(address), from.Host)
		}
		r.Header = http.Header{"Authorization": {login.basic()}}
	}
	a, err := p.client.Get(ctx, r)
	if err != nil {
		return pass{}, err
	}
	defer a.Close()
	var got struct {
		Token   string `json:"token"`
		Access  string `json:"access_token"`
		Expires int    `json:"expires_in"` // seconds
	}
	b, err := fsx.Read(a.Body, "pass", answerLimit)
	if err == nil {
		err = json.Unmarshal(b, &got)
	}
	text := cmp.Or(got.Token, got.Access)
	if err != nil || text == "" || len(text) > longestPass || strings.ContainsAny(text, " \r\n") {
		return pass{}, errs.Errorf(errs.Unavailable, "%s: not a pass", a.URL)
	}
	life := passLife
	if got.Expires > 0 && got.Expires < int(time.Hour/time.Second) {
		life = time.Duration(got.Expires) * time.Second
	}
	return pass{"Bearer " + text, begun.Add(life - passMargin)}, nil
}

// parameters reads what follows the scheme of a challenge: realm="…",service="…" (RFC 9110 §11.2).
func parameters(s string) map[string]string {
	found := map[string]string{}
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimLeft(s, ", ") {
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			break
		}
		var value string
		if text, quoted := strings.CutPrefix(rest, `"`); quoted {
			value, s, _ = strings.Cut(text, `"`)
		} else if i := strings.IndexByte(rest, ','); i >= 0 {
			value, s = rest[:i], rest[i:]
		} else {
			value, s = rest, ""
		}
		found[strings.ToLower(strings.TrimSpace(name))] = value
	}
	return found
}
