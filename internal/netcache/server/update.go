package server

import (
	"context"
	"slices"
)

// Changes are the keys whose lists an update changed: Removed those that lost entries, all or some, and
// got none.
type Changes struct {
	Removed []string `json:"removed"`
	Updated []string `json:"updated"`
}

// Update brings every list that the account may put up to date with upstream, as a SlapOS proxy
// does when it is asked to: what upstream no longer has goes, unless it was put here. Without an
// upstream, entries whose blobs are not here go.
func (s *Server) Update(ctx context.Context, by By) (Changes, error) {
	c, err := s.updateAll(ctx, by.Account)
	return c, s.note(by, Event{Action: "update"}, err)
}

func (s *Server) updateAll(ctx context.Context, account Account) (Changes, error) {
	c := Changes{Removed: []string{}, Updated: []string{}}
	var keys []string
	if err := s.shelf.Keys(ctx, func(key string) error { keys = append(keys, key); return nil }); err != nil {
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
			what, err = s.shelf.prune(ctx, key)
		} else {
			what, err = s.through.sync(ctx, nil, key, true)
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
