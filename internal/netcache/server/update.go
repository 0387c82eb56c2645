package server

import (
	"encoding/json"
	"net/http"
	"slices"

	"overland/internal/errs"
)

// updateName is the last segment of POST MOUNT/update.
const updateName = "update"

// update brings every list that the account may put up to date with upstream, as a SlapOS proxy does when it is asked to:
// what upstream has no more goes, unless it was put here. Without an upstream, entries whose blobs are not here go.
func (s *Server) update(w http.ResponseWriter, r *http.Request) {
	account, err := s.policy().writer(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	result, err := s.updateAll(r, account)
	if err = s.note(r, event{Action: "update", Account: account.Name}, err); err != nil {
		if errs.KindOf(err) == errs.Unavailable {
			s.refuse(w, r, http.StatusBadGateway, err.Error())
			return
		}
		s.fail(w, r, err)
		return
	}
	body, err := json.Marshal(result)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// changes is the answer to an update: keys.
type changes struct {
	Removed []string `json:"removed"`
	Updated []string `json:"updated"`
}

func (s *Server) updateAll(r *http.Request, account Account) (changes, error) {
	c := changes{Removed: []string{}, Updated: []string{}}
	var keys []string
	if err := s.shelf.Keys(r.Context(), func(key string) error { keys = append(keys, key); return nil }); err != nil {
		return c, err
	}
	slices.Sort(keys)
	for _, key := range keys {
		if account.may(key) != nil {
			continue
		}
		var what change
		var err error
		if s.through == nil || len(s.through.o.Lists) == 0 {
			what, err = s.shelf.prune(r.Context(), key)
		} else {
			what, err = s.through.sync(r.Context(), nil, key, true)
		}
		if err != nil {
			return c, err
		}
		switch what {
		case removed:
			c.Removed = append(c.Removed, key)
		case updated:
			c.Updated = append(c.Updated, key)
		case unchanged:
		}
	}
	return c, nil
}
