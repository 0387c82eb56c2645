package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A site waits an hour at most for a look at what was found, whose reader may be kept for days: a few
// bytes a minute. A person does not wait; and what is found waits for a site as long as it takes.
func TestS13WhatWasFoundHoldsUpNoSite(t *testing.T) {
	for _, c := range []struct {
		name   string
		holds  bool // what was found has the turn, else a site
		comes  func(*turn, context.Context) (done func(), err error)
		waited time.Duration
	}{
		{"a site", true, func(turn *turn, ctx context.Context) (func(), error) {
			_, done, err := turn.takeLook(ctx, false)
			return done, err
		}, time.Hour},
		{"a person", true, (*turn).takeNow, 0},
		{"another that was found", true, func(turn *turn, ctx context.Context) (func(), error) {
			_, done, err := turn.takeLook(ctx, true)
			return done, err
		}, 48 * time.Hour},
		{"a site, for a site", false, func(turn *turn, ctx context.Context) (func(), error) {
			_, done, err := turn.takeLook(ctx, false)
			return done, err
		}, 48 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				turn := newTurn()
				staging, give, err := turn.takeLook(t.Context(), c.holds)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					select {
					case <-staging.Done():
					case <-time.After(48 * time.Hour): // it is read to its end
					}
					give()
				}()
				began := time.Now()
				done, err := c.comes(turn, t.Context())
				if err != nil || time.Since(began) != c.waited {
					t.Errorf("%v after %s", err, time.Since(began))
				}
				done()
			})
		})
	}
}
