package registry

import (
	"cmp"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"overland/internal/admission"
	"overland/internal/auth"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/registry"
)

// Options are the settings of a Face.
type Options struct {
	Accounts *auth.Accounts // nil = no login is taken
	Anyone   []auth.Grant   // what everybody may do
	Mirrored *Mirrored      // nil = no other registry's images
	Log      *slog.Logger   // nil = none
}

// Face answers what is below /v2. It is safe for concurrent use.
type Face struct {
	r         *registry.Registry
	o         Options
	documents *admission.Requests // that are held in memory
}

const (
	documents = 64               // manifests that come, or lists that go, at once, shared among clients
	patience  = 20 * time.Second // for a place among them
)

// New returns the face of r.
func New(r *registry.Registry, o Options) *Face {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return &Face{r, o, admission.NewRequests(documents)}
}

// place waits until r may have a document of some MiB in memory, and returns what ends that.
func (f *Face) place(r *http.Request) (end func(), err error) {
	end, ok := f.documents.Enter(r.Context(), patience)
	if !ok {
		err = registry.Busy("%d manifests come and lists go already", documents)
	}
	return end, err
}

// Prefix is the path below which everything stands.
const Prefix = "/v2"

func (f *Face) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if err := f.answer(w, r); err != nil {
		f.fail(w, r, err)
	}
}

// call is a request to one repository.
type call struct {
	f    *Face
	who  auth.Account
	name registry.Name
	rest []string // of the path, behind the name and the noun
}

// nouns are what follows a repository's name in a path, and how many parts follow them at most.
var nouns = map[string]struct {
	parts int
	do    func(*call, http.ResponseWriter, *http.Request) error
}{
	"blobs":     {2, (*call).blobs},
	"manifests": {1, (*call).manifests},
	"tags":      {1, (*call).tags},
	"referrers": {1, (*call).referrers},
}

func (f *Face) answer(w http.ResponseWriter, r *http.Request) error {
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.EscapedPath(), Prefix), "/")
	if path == strings.TrimPrefix(tokenPath, Prefix+"/") {
		return f.token(w, r)
	}
	who, err := f.who(r)
	if errs.KindOf(err) == errs.Denied {
		return f.challenge(w, r, auth.Pull, "", err)
	}
	if err != nil {
		return err
	}
	switch path {
	case "":
		return f.version(w, r, who)
	case "_catalog":
		return f.catalog(w, r, who)
	}
	parts := strings.Split(path, "/")
	// From the end: a repository may be called blobs. An upload's path ends with a "/" or an id.
	for i := len(parts) - 2; i > 0 && i >= len(parts)-3; i-- {
		noun, ok := nouns[parts[i]]
		if !ok || len(parts)-i-1 > noun.parts {
			continue
		}
		if parts[i] == "blobs" && (parts[i+1] == "uploads") != (len(parts)-i-1 == 2) {
			continue
		}
		name, err := registry.ParseName(strings.Join(parts[:i], "/"))
		if err != nil {
			return err
		}
		c := &call{f, who, name, parts[i+1:]}
		to, ok, err := f.foreign(r, name)
		if err != nil {
			return err
		}
		if ok {
			return c.mirrored(w, r, parts[i], to)
		}
		return noun.do(c, w, r)
	}
	return errs.Errorf(errs.NotFound, "nothing is served under this path")
}

// version answers GET /v2/, by which clients see that a registry is here and whether their login holds. One without a
// login is asked for it, also where everybody may pull: see tokenPath.
func (f *Face) version(w http.ResponseWriter, r *http.Request, who auth.Account) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return httpx.NotServed(w, "GET, HEAD")
	}
	if who.Name == "" && f.o.Accounts != nil && r.Header.Get("Authorization") == "" {
		return f.challenge(w, r, auth.Pull, "", errs.Errorf(errs.Denied, "say who you are, or ask for a pass"))
	}
	return give(w, r, "application/json", struct{}{})
}

// allow returns an error unless the client may do action in the repository: one without a name is asked for it.
func (c *call) allow(w http.ResponseWriter, r *http.Request, action auth.Action) error {
	switch {
	case c.who.May(action, string(c.name)):
		return nil
	case c.who.Name == "":
		return c.f.challenge(w, r, action, string(c.name), errs.Errorf(errs.Denied, "%s %s needs a login", action, c.name))
	}
	return errs.Errorf(errs.Denied, "%s may not %s %s", c.who.Name, action, c.name)
}

// fail answers with err in the form of the specification.
func (f *Face) fail(w http.ResponseWriter, r *http.Request, err error) {
	code := registry.CodeOf(err)
	switch {
	case errors.Is(err, registry.ErrRange):
		err = httpx.WithStatus(err, http.StatusRequestedRangeNotSatisfiable)
	case code == registry.Unsupported:
		err = httpx.WithStatus(err, http.StatusMethodNotAllowed)
	case code == registry.TooManyRequests:
		err = httpx.WithStatus(err, http.StatusTooManyRequests)
	case code == "" && httpx.Status(err) == http.StatusUnauthorized:
		code = registry.Unauthorized
	case code == "" && errs.KindOf(err) == errs.Denied:
		code = registry.Denied
	case code == "" && errs.KindOf(err) == errs.NotFound:
		code = registry.NameUnknown
	}
	form := func(p httpx.Problem, _ func(string) bool) (string, []byte) {
		if p.Hint != "" {
			p.Message += ": " + p.Hint // clients print the message alone
		}
		b, err := json.Marshal(map[string]any{"errors": []any{map[string]string{
			"code": cmp.Or(string(code), strings.ToUpper(p.Code)), "message": p.Message,
		}}})
		if err != nil {
			panic(err) // strings always marshal
		}
		return "application/json", b
	}
	httpx.Errors{Form: form, Log: f.o.Log}.Write(w, r, err)
}
