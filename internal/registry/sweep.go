package registry

import (
	"context"
	"fmt"
	"time"

	"overland/internal/db"
)

// wantEvery is how often it is noted at most that somebody wants a manifest.
const wantEvery = time.Hour

// Sweep drops the uploads that were begun more than a day ago, and what nobody has sent anything to for as long, removes the manifests that nothing holds (see doc.go), and
// takes blobs out of their repositories that came more than a day ago and that no manifest points to. Others may push
// meanwhile. The bytes stay until a collection.
func (r *Registry) Sweep(ctx context.Context) error {
	old := r.o.Now().Add(-uploadLife)
	ids, err := r.facts.OldRegistryUploads(ctx, old)
	if err != nil {
		return err
	}
	// One that another process dropped while this one opened it is in no table.
	err = r.blobs.Pending(ctx, uploadPrefix, func(id string, _ int64, last time.Time) error {
		if last.Before(old) {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		r.mu.Lock()
		busy := r.uploads[id] != nil
		r.mu.Unlock()
		if busy {
			continue // at 4 KB/s a day is not long
		}
		if err := r.drop(ctx, id); err != nil {
			return fmt.Errorf("upload %s: %w", id, err)
		}
	}
	if err := r.sweepManifests(ctx); err != nil {
		return err
	}
	_, err = r.facts.SweepRegistryBlobs(ctx, old)
	return err
}

// sweepManifests removes the manifests that nothing has held and nobody has wanted for Options.Untagged.
func (r *Registry) sweepManifests(ctx context.Context) error {
	if r.o.Untagged < 0 {
		return nil
	}
	now := r.o.Now()
	before := now.Add(-r.o.Untagged)
	idle, err := r.facts.IdleManifests(ctx, before, now)
	if err != nil || len(idle) == 0 {
		return err
	}
	if r.o.Named != nil {
		named, err := r.o.Named(ctx)
		if err != nil {
			return fmt.Errorf("what releases and lock files name: %w", err)
		}
		for _, m := range idle {
			if !named[m.Blob] {
				continue
			}
			if err := r.facts.WantManifest(ctx, m.Repository, m.Blob, now); err != nil {
				return err
			}
		}
	}
	swept := ""
	for _, m := range idle { // sorted by repository
		if m.Repository == swept {
			continue
		}
		swept = m.Repository
		n, err := r.facts.SweepManifests(ctx, swept, before)
		if err != nil {
			return err
		}
		if n > 0 {
			r.o.Log.Info("manifests that nothing holds were removed", "repository", swept, "manifests", n)
		}
	}
	return nil
}

// want notes that somebody has asked for the manifest row by its digest: whoever does so again and again keeps it. That it
// cannot be noted, on a full disk, is no reason to answer with an error.
func (r *Registry) want(ctx context.Context, name Name, row db.Manifest) {
	now := r.o.Now()
	if now.Sub(row.Wanted) < wantEvery {
		return
	}
	if err := r.facts.WantManifest(ctx, string(name), row.Blob, now); err != nil && ctx.Err() == nil {
		r.o.Log.Warn("it cannot be noted that a manifest is wanted", "repository", name, "manifest", row.Blob, "error", err)
	}
}
