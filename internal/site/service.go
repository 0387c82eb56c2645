package site

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"overland/internal/db"
)

// Service is a part of a running site.
type Service struct {
	Name string // for people: it is in the error when the service fails
	// Run works until ctx ends, and then returns nil. An error ends the site.
	Run func(ctx context.Context) error
}

// runServices runs all of list until ctx ends or one of them fails; started is
// called when all have been started.
func runServices(ctx context.Context, list []Service, started func()) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range list {
		group.Go(func() error {
			if err := s.Run(ctx); err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
			return nil
		})
	}
	started()
	return group.Wait()
}

// every returns a service that does its work at once and then each period, until ctx ends.
func every(name string, period time.Duration, do func(ctx context.Context)) Service {
	return Service{name, func(ctx context.Context) error {
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		for {
			do(ctx)
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
		}
	}}
}

const (
	leftover = 30 * 24 * time.Hour // after which nobody will resume a partial blob
	daily    = 24 * time.Hour
)

// tidy returns the service that frees the depot of what never became a
// blob, and shortens the audit log.
func (s *Site) tidy(known *db.DB, log *slog.Logger) Service {
	return every("tidy", daily, func(ctx context.Context) {
		if err := known.TrimEvents(ctx, auditEvents); err != nil && ctx.Err() == nil {
			log.Warn("the audit log cannot be shortened", "error", err)
		}
		if err := s.depot.Tidy(ctx, leftover); err != nil && ctx.Err() == nil {
			log.Warn("partial blobs cannot be removed", "error", err)
		}
	})
}
