package server

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache"
	"overland/internal/store"
)

const forever = "public,max-age=31556926" // seconds: the blob of a name never changes

// serveBlob answers a request of the service shacache; name is what follows its path.
func (s *Server) serveBlob(w http.ResponseWriter, r *http.Request, name string) {
	switch {
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && name != "":
		s.getBlob(w, r, name)
	case r.Method == http.MethodPost && name == updateName:
		s.update(w, r)
	case r.Method == http.MethodPut && netcache.ValidName(name) && r.Header.Get("Content-Range") != "":
		s.putPart(w, r, name)
	case r.Method == http.MethodPost && name == "", r.Method == http.MethodPut && netcache.ValidName(name):
		s.putBlob(w, r, name)
	case r.Method == http.MethodPut:
		s.refuse(w, r, http.StatusBadRequest, "not the sha512 of a blob")
	case name == "":
		s.refuse(w, r, http.StatusNotFound, "no blob is named")
	default:
		s.method(w, r, "GET, HEAD, PUT")
	}
}

func (s *Server) getBlob(w http.ResponseWriter, r *http.Request, name string) {
	b, err := s.shelf.Open(r.Context(), name)
	if errs.KindOf(err) == errs.NotFound && netcache.ValidName(name) && s.through.may(r.Context()) {
		if err = s.through.blob(w, r, name); err == nil {
			b, err = s.shelf.Open(r.Context(), name)
		}
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer b.Close()
	if s.through != nil && s.through.o.Used != nil {
		s.through.o.Used(name)
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", forever)
	h.Set("ETag", `"`+name+`"`)
	// It answers ranges, and a client that goes away after the head is no error.
	http.ServeContent(w, r, "", time.Time{}, b) // the blob itself, so that the kernel sends it
}

func (s *Server) putBlob(w http.ResponseWriter, r *http.Request, want string) {
	account, err := s.policy().writer(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	name, n, err := s.shelf.PutBlob(r.Context(), r.Body, want, r.ContentLength, s.o.MaxBlob)
	done := event{Action: "blob", Account: account.Name, Name: name, Size: n}
	if err = s.note(r, done, err); err != nil {
		s.fail(w, r, err)
		return
	}
	stored(w, name)
}

// stored answers a write of the blob called name.
func stored(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(name)))
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, name)
}

// serveKey answers a request of the service shadir.
func (s *Server) serveKey(w http.ResponseWriter, r *http.Request, key string) {
	switch {
	case key == "":
		s.refuse(w, r, http.StatusNotFound, "no key is named")
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.getEntries(w, r, key)
	case r.Method == http.MethodPut:
		s.putEntry(w, r, key)
	case r.Method == http.MethodPost && key == updateName:
		s.update(w, r)
	default:
		s.method(w, r, "GET, HEAD, PUT")
	}
}

func (s *Server) getEntries(w http.ResponseWriter, r *http.Request, key string) {
	var late error
	if s.through.may(r.Context()) {
		late = s.through.list(r.Context(), key)
	}
	records, err := s.shelf.List(key)
	if errs.KindOf(err) == errs.NotFound && late != nil {
		err = errs.E(errs.Unavailable, late) // upstream may have some
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	policy, list := s.policy(), make([]netcache.Entry, 0, len(records))
	for _, rec := range records {
		e, err := netcache.NewEntry(rec.Metadata, rec.Signature)
		if err == nil && !policy.revoked(e, rec.Signer) {
			list = append(list, e)
		}
	}
	body := netcache.EncodeList(list)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Cache-Control", "no-cache")
	if r.Method == http.MethodGet {
		_, _ = w.Write(body)
	}
}

func (s *Server) putEntry(w http.ResponseWriter, r *http.Request, key string) {
	account, err := s.policy().writer(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if err := s.storeEntry(r, account, key); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusCreated)
}

func (s *Server) storeEntry(r *http.Request, account Account, key string) error {
	done := event{Action: "entry", Account: account.Name, Key: key}
	e, signer, err := s.judge(r, account, key)
	if err == nil {
		err = s.shelf.Add(r.Context(), Record{
			Key: key, Metadata: e.Metadata, Signature: e.Signature, Time: s.o.Clock(), Account: account.Name, Signer: signer,
		})
		done.Name, done.Signer = e.Name(), signer
	}
	return s.note(r, done, err)
}

// judge returns the entry in the body of r when the account may put it under key.
func (s *Server) judge(r *http.Request, account Account, key string) (e netcache.Entry, signer string, err error) {
	if err := netcache.CheckKey(key); err != nil {
		return e, "", err
	}
	if err := account.may(key); err != nil {
		return e, "", err
	}
	body, err := fsx.Read(r.Body, "the entry", netcache.EntryLimit)
	if err != nil {
		return e, "", errs.Errorf(errs.Invalid, "%v", err) //nolint:errorlint // one that is too long is a bad request, as for every server of this protocol
	}
	if e, err = netcache.ParseEntry(body); err != nil {
		return e, "", err
	}
	signer, warning, err := s.policy().admit(key, e)
	if warning != nil {
		s.o.Log.Warn("entry taken in spite of", "warning", warning, "account", account.Name)
	}
	return e, signer, err
}

// note writes the audit log's line of a write that ended with err, and returns err.
func (s *Server) note(r *http.Request, e event, err error) error {
	e.Time, e.Remote, e.Result = s.o.Clock(), r.RemoteAddr, "stored"
	if err != nil {
		e.Result = err.Error()
	}
	return errors.Join(err, s.audit.note(e))
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := errs.KindOf(err).Status()
	switch {
	case errors.Is(err, store.ErrTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, io.ErrUnexpectedEOF), r.Context().Err() != nil:
		status = http.StatusBadRequest // nobody is there to read it
	case status > http.StatusInternalServerError && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		// Upstream fails: whoever asked it has logged that, once for all who wait.
	case status >= http.StatusInternalServerError:
		s.o.Log.Error("request of the network cache", "path", r.URL.Path, "error", err)
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	if status == http.StatusInternalServerError {
		text = "internal error" // what the disk says is for the log
	}
	s.refuse(w, r, status, text)
}

func (s *Server) method(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	s.refuse(w, r, http.StatusMethodNotAllowed, "this method is not served here")
}

// refuse answers with an error. The old client sends its whole body before it reads: without reading a bounded amount of
// it, it would see a broken pipe in place of the status. A client that waits for 100 Continue has sent nothing.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, text string) {
	if r.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
	}
	http.Error(w, text, status)
}
