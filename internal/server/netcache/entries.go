package netcache

import (
	"encoding/json"
	"net/http"
	"strconv"

	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/netcache"
)

// updateName is the last segment of POST MOUNT/update.
const updateName = "update"

// key answers a request of the service shadir.
func (f *Face) key(w http.ResponseWriter, r *http.Request, key string) error {
	switch {
	case key == "":
		return errs.Errorf(errs.NotFound, "no key is named")
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return f.getEntries(w, r, key)
	case r.Method == http.MethodPut:
		return f.putEntry(w, r, key)
	case r.Method == http.MethodPost && key == updateName:
		return f.update(w, r)
	}
	return httpx.NotServed(w, "GET, HEAD, PUT")
}

// place waits until r may have a list in memory, and returns what ends that.
func (f *Face) place(r *http.Request) (end func(), err error) {
	end, ok := f.lists.Enter(r.Context(), patience)
	if !ok {
		err = errs.Errorf(errs.Unavailable, "%d lists are asked for already", lists)
	}
	return end, err
}

func (f *Face) getEntries(w http.ResponseWriter, r *http.Request, key string) error {
	end := func() {}
	defer func() { end() }()
	list, err := f.s.Entries(r.Context(), key, func() (err error) {
		end, err = f.place(r)
		return err
	})
	if err != nil {
		return err
	}
	body := netcache.EncodeList(list)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Cache-Control", "no-cache")
	if r.Method == http.MethodGet {
		_, _ = w.Write(body)
	}
	return nil
}

func (f *Face) putEntry(w http.ResponseWriter, r *http.Request, key string) error {
	by, err := f.writer(r)
	if err != nil {
		return err
	}
	end, err := f.place(r)
	if err == nil {
		defer end()
		err = f.s.PutEntry(r.Context(), by, key, r.Body)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusCreated)
	return nil
}

// update brings the lists that the account may put up to date with upstream, and
// answers which of them changed.
func (f *Face) update(w http.ResponseWriter, r *http.Request) error {
	by, err := f.writer(r)
	if err != nil {
		return err
	}
	changes, err := f.s.Update(r.Context(), by)
	if errs.KindOf(err) == errs.Unavailable {
		return httpx.WithStatus(err, http.StatusBadGateway) // as a SlapOS proxy answers
	}
	if err != nil {
		return err
	}
	body, err := json.Marshal(changes)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
	return nil
}
