package registry

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"overland/internal/auth"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
)

// tokenPath is where clients change a login for a pass (the specification's token authentication). A registry that
// anybody may pull from has to have it: docker sends a login only to one that has asked for it at /v2/, and without a
// pass for nobody it could pull only with a login then.
const tokenPath = Prefix + "/token"

const loginLimit = 8 << 10 // bytes of a form with a login

// who returns who sends r. A login that does not hold is errs.Denied, and never nobody's.
func (f *Face) who(r *http.Request) (auth.Account, error) {
	kind, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case kind == "":
		return f.certified(r)
	case f.o.Accounts == nil:
		return auth.Account{}, errs.Hint(errs.Errorf(errs.Denied, "no login is taken here"), "over HTTPS it is")
	case strings.EqualFold(kind, "Bearer") && strings.Contains(text, "."):
		return f.known(f.o.Accounts.ByPass(r.Context(), text))
	case strings.EqualFold(kind, "Bearer"):
		return f.o.Accounts.ByToken(r.Context(), "", text)
	}
	name, token, ok := r.BasicAuth()
	if !ok {
		return auth.Account{}, errs.Errorf(errs.Denied, "a login of the kind %.20q is not taken", kind)
	}
	return f.o.Accounts.ByToken(r.Context(), name, token)
}

// certified returns the account of the client's certificate.
func (f *Face) certified(r *http.Request) (auth.Account, error) {
	if f.o.Accounts == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return f.known(auth.Account{}, nil)
	}
	return f.known(f.o.Accounts.ByCertificate(r.Context(), r.TLS.PeerCertificates[0]))
}

// known gives somebody of whom nothing is known the rights that everybody has.
func (f *Face) known(a auth.Account, err error) (auth.Account, error) {
	if err == nil && a.Name == "" {
		a.Grants = f.o.Anyone
	}
	return a, err
}

// challenge asks the client of r for a login with which it may do action in the repository name; "" = any.
func (f *Face) challenge(w http.ResponseWriter, r *http.Request, action auth.Action, name string, err error) error {
	if f.o.Accounts == nil {
		return err
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	text := fmt.Sprintf(`Bearer realm="%s://%s%s",service="overland"`, scheme, r.Host, tokenPath)
	if name != "" {
		scope := string(auth.Pull)
		if action != auth.Pull {
			scope += "," + string(action)
		}
		text += fmt.Sprintf(`,scope="repository:%s:%s"`, name, scope)
	}
	w.Header().Add("Www-Authenticate", text)
	return httpx.WithStatus(err, http.StatusUnauthorized)
}

// token answers with a pass for who sends r: GET with a login as in any request, or POST with one in a form (OAuth 2).
func (f *Face) token(w http.ResponseWriter, r *http.Request) error {
	if f.o.Accounts == nil {
		return errs.Errorf(errs.NotFound, "nothing is served under this path")
	}
	var who auth.Account
	var err error
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		who, err = f.who(r)
	case http.MethodPost:
		var form []byte
		if form, err = fsx.Read(r.Body, "login", loginLimit); err == nil {
			who, err = f.form(r, string(form))
		}
	default:
		return httpx.NotServed(w, "GET, POST")
	}
	if err != nil {
		if errs.KindOf(err) == errs.Denied {
			err = httpx.WithStatus(err, http.StatusUnauthorized)
		}
		return err
	}
	text := f.o.Accounts.Issue(who)
	w.Header().Set("Cache-Control", "no-store")
	return give(w, r, "application/json", struct {
		Token   string    `json:"token"`
		Access  string    `json:"access_token"`
		Expires int       `json:"expires_in"` // seconds
		Issued  time.Time `json:"issued_at"`
	}{text, text, int(auth.PassLife.Seconds()), time.Now().UTC()})
}

// form returns whose login is in a form.
func (f *Face) form(r *http.Request, text string) (auth.Account, error) {
	q, err := url.ParseQuery(text)
	if err != nil {
		return auth.Account{}, errs.E(errs.Invalid, err)
	}
	if kind := q.Get("grant_type"); kind != "password" {
		return auth.Account{}, errs.Errorf(errs.Invalid, "grant_type %.40q: password", kind)
	}
	return f.o.Accounts.ByToken(r.Context(), q.Get("username"), q.Get("password"))
}
