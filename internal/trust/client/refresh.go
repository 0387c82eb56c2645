package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
)

// clockStep is how far the machine's time must have moved before it is written down again: an
// unchanged poll writes nothing.
const clockStep = time.Hour

// firstYear is the first in which anything was signed: a clock before it is wrong.
const firstYear = 2025

// Refresh verifies what src has and keeps it, in the order of the TUF specification (section 5):
// every newer root, timestamp, snapshot, targets. What verified stays even when a later file does
// not. A nil src checks what is on the disk. src stays in use by Target and Targets until the next
// Refresh. An unchanged source costs no write.
//
// errs.Untrusted when something does not verify (see ErrExpired, ErrRollback, ErrSignature,
// ErrMismatch, ErrNotPinned); an error of src keeps its kind.
func (c *Client) Refresh(ctx context.Context, src trust.MetadataSource, o RefreshOptions) (Freshness, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set, c.src = nil, nil
	s, unlock, err := c.load(ctx)
	if err != nil {
		return Freshness{}, fmt.Errorf("refresh: %w", err)
	}
	defer unlock()
	r := &refresh{Client: c, src: src, seen: s, offline: o.Offline, dirty: s.lone}
	fresh, err := r.run(ctx)
	if r.dirty {
		err = errors.Join(err, s.save(c.o.FS, c.dir))
	}
	if err != nil {
		return Freshness{}, fmt.Errorf("refresh: %w", err)
	}
	c.set, c.src = r.set, src
	return fresh, nil
}

// refresh is one run of Refresh.
type refresh struct {
	*Client
	src     trust.MetadataSource
	seen    *seen
	offline bool
	dirty   bool // seen has to be saved
	set     *trustedmetadata.TrustedMetadata
}

func (r *refresh) run(ctx context.Context) (Freshness, error) {
	var err error
	if r.set, err = r.roots(ctx, r.src, r.seen); err != nil {
		return Freshness{}, err
	}
	root := r.set.Root.Signed
	if err := r.lifetime("root", root.UnrecognizedFields, root.Expires); err != nil {
		return Freshness{}, err
	}
	if err := r.rotated(); err != nil {
		return Freshness{}, err
	}
	for _, step := range []func(context.Context) error{r.timestamp, r.snapshot, r.targets} {
		if err := step(ctx); err != nil {
			return Freshness{}, err
		}
	}
	ts := r.set.Timestamp.Signed
	signed, err := trust.SignedAt(ts.UnrecognizedFields)
	if err != nil {
		return Freshness{}, trust.Untrusted("timestamp", err)
	}
	if now := r.o.Clock(); !r.offline && r.src != nil && now.Sub(r.seen.Clock) >= clockStep {
		r.seen.Clock, r.dirty = now.UTC().Truncate(time.Second), true
	}
	expires := slices.MinFunc([]time.Time{
		r.set.Root.Signed.Expires, ts.Expires, r.set.Snapshot.Signed.Expires,
		r.set.Targets[metadata.TARGETS].Signed.Expires,
	}, time.Time.Compare)
	return Freshness{Known: !r.offline && r.src != nil, SignedAt: signed, Expires: expires}, nil
}

// roots walks from the pinned root through every newer one, those on the disk first, then those of
// src, and keeps each that verifies. A damaged file is replaced from src, the pinned one only by
// bytes of the pinned fingerprint.
func (c *Client) roots(ctx context.Context, src trust.MetadataSource, s *seen) (*trustedmetadata.TrustedMetadata, error) {
	b, err := c.pinnedRoot(ctx, src, s)
	if err != nil {
		return nil, err
	}
	set, err := newSet(b)
	if err != nil {
		return nil, err
	}
	next := func() string { return trust.WireName("root", set.Root.Signed.Version+1) }
	for {
		b, err := fsx.ReadFile(c.path(next()), trust.MaxRoot)
		if err != nil || updateRoot(set, b) != nil {
			break
		}
	}
	for b, err := range newerRoots(ctx, src, set) {
		if errors.Is(err, trust.ErrTooMany) {
			break // each was signed by the one before: the next Refresh goes on
		}
		if err != nil {
			return nil, err
		}
		name := next()
		if err := updateRoot(set, b); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := c.o.FS.WriteFile(c.path(name), b, 0o644); err != nil {
			return nil, fmt.Errorf("keep %s: %w", name, err)
		}
	}
	if have := set.Root.Signed.Version; have < s.Root {
		err := errs.Errorf(errs.Untrusted, "root: %w: root %d was, its file is damaged here, and the source ends at "+
			"root %d", trust.ErrRollback, s.Root, have)
		return nil, errs.Hint(err, "use a newer volume or the site: they carry every root")
	}
	return set, nil
}

// newerRoots returns the root versions of src after the newest in set; none without a source.
func newerRoots(ctx context.Context, src trust.MetadataSource, set *trustedmetadata.TrustedMetadata) iter.Seq2[[]byte, error] {
	if src == nil {
		return func(func([]byte, error) bool) {}
	}
	return trust.Roots(ctx, src, set.Root.Signed.Version+1)
}

// pinnedRoot returns the bytes of the pinned root version.
func (c *Client) pinnedRoot(ctx context.Context, src trust.MetadataSource, s *seen) ([]byte, error) {
	name := trust.WireName("root", s.PinVersion)
	b, err := fsx.ReadFile(c.path(name), trust.MaxRoot)
	if err == nil {
		if fp, err := trust.FingerprintOf(b); err == nil && fp == s.Pin {
			return b, nil
		}
	}
	damaged := func(err error) error {
		err = errs.Errorf(errs.Untrusted, "%w: %s: %w", trust.ErrDamaged, c.path(name), err)
		return errs.Hint(err, "use a source that has %s with the fingerprint %s: any volume or site of this operator",
			name, s.Pin)
	}
	if src == nil {
		return nil, damaged(errors.New("not the root that was pinned"))
	}
	if b, err = trust.Fetch(ctx, src, name, trust.MaxRoot); err != nil {
		return nil, damaged(err)
	}
	fp, err := trust.FingerprintOf(b)
	if err != nil {
		return nil, damaged(err)
	}
	if fp != s.Pin {
		return nil, damaged(fmt.Errorf("the source's root has fingerprint %s", fp))
	}
	if err := c.o.FS.WriteFile(c.path(name), b, 0o644); err != nil {
		return nil, fmt.Errorf("keep %s: %w", name, err)
	}
	return b, nil
}

func updateRoot(set *trustedmetadata.TrustedMetadata, b []byte) error {
	if err := trust.CheckForm(b, metadata.ROOT); err != nil {
		return trust.Untrusted("root", err)
	}
	_, err := set.UpdateRoot(b)
	return trust.Untrusted("root", err)
}

// rotated forgets what revoked timestamp and snapshot keys may have said (TUF 5.3.11): without
// this, a thief could have signed a version so high that no honest one is ever accepted again.
func (r *refresh) rotated() error {
	roles := r.set.Root.Signed.Roles
	keys := func(role string) []string {
		if roles[role] == nil {
			return nil
		}
		return roles[role].KeyIDs
	}
	ts, sn := keys(metadata.TIMESTAMP), keys(metadata.SNAPSHOT)
	revoked := func(old, now []string) bool {
		return slices.ContainsFunc(old, func(id string) bool { return !slices.Contains(now, id) })
	}
	s := r.seen
	if revoked(s.TimestampKeys, ts) || revoked(s.SnapshotKeys, sn) {
		for _, name := range []string{"timestamp.json", "snapshot.json"} {
			if err := r.o.FS.Remove(r.path(name)); err != nil {
				return fmt.Errorf("forget %s: %w", name, err)
			}
		}
		s.forget()
		r.dirty = true
	}
	if v := r.set.Root.Signed.Version; s.Root != v || !slices.Equal(s.TimestampKeys, ts) || !slices.Equal(s.SnapshotKeys, sn) {
		s.Root, s.TimestampKeys, s.SnapshotKeys = v, slices.Clone(ts), slices.Clone(sn)
		r.dirty = true
	}
	return nil
}

// floor returns the lowest time that the node believes.
func (r *refresh) floor() time.Time {
	t := r.o.BuildTime
	for _, other := range []time.Time{r.seen.Signed, r.seen.Clock} {
		if other.After(t) {
			t = other
		}
	}
	return t
}

// reference returns the time against which expiry is checked, given when the timestamp says that it
// was signed; what was verified of that is in the floor already.
func (r *refresh) reference(signed time.Time) time.Time {
	if r.offline && !signed.IsZero() {
		// Signing times only rise, so a timestamp signed before the newest that was
		// verified is checked against that one.
		return latest(signed, r.seen.Signed)
	}
	return latest(r.o.Clock(), r.floor())
}

// known returns the time when the machine's clock can be believed, else zero: offline it is not
// asked, and one that stands below the floor is wrong.
func (r *refresh) known() time.Time {
	if now := r.o.Clock(); !r.offline && now.Year() >= firstYear && !now.Before(r.floor()) {
		return now
	}
	return time.Time{}
}

// lifetime refuses what the online key, whoever holds it, has signed for too long a time.
func (r *refresh) lifetime(role string, fields map[string]any, expires time.Time) error {
	now := r.known()
	if r.o.Foreign && fields[trust.SignedAtField] == nil {
		now = time.Time{}
	}
	err := trust.CheckLifetime(role, fields, expires, now)
	return errs.Hint(err, "compare this machine's clock (%s) with the signer's; when both are right, the operator runs overland trust refresh",
		r.o.Clock().UTC().Format(time.RFC3339))
}

func latest(times ...time.Time) time.Time {
	return slices.MaxFunc(times, time.Time.Compare)
}

func (r *refresh) timestamp(ctx context.Context) error {
	// The one on the disk counts against rollback even when it has expired: the
	// zero time is before every expiry.
	r.set.RefTime = time.Time{}
	if b, err := fsx.ReadFile(r.path("timestamp.json"), trust.MaxTimestamp); err == nil {
		if _, err := trust.ParseTimestamp(b); err == nil {
			_, _ = r.set.UpdateTimestamp(b)
		}
	}
	if r.src != nil {
		b, err := trust.Fetch(ctx, r.src, "timestamp.json", trust.MaxTimestamp)
		if err != nil {
			return err
		}
		if err := r.newTimestamp(b); err != nil {
			return err
		}
	}
	if r.set.Timestamp == nil {
		err := errs.Errorf(errs.Unavailable, "no metadata on this node yet")
		return errs.Hint(err, "name a volume or a site to refresh from")
	}
	signed, err := trust.SignedAt(r.set.Timestamp.Signed.UnrecognizedFields)
	if err != nil {
		return trust.Untrusted("timestamp", err)
	}
	ts := r.set.Timestamp.Signed
	if err := r.lifetime("timestamp", ts.UnrecognizedFields, ts.Expires); err != nil {
		return err
	}
	r.set.RefTime = r.reference(signed)
	if r.set.Root.Signed.IsExpired(r.set.RefTime) {
		return r.expired("root", r.set.Root.Signed.Expires)
	}
	if r.set.Timestamp.Signed.IsExpired(r.set.RefTime) {
		return r.expired("timestamp", r.set.Timestamp.Signed.Expires)
	}
	return nil
}

// newTimestamp verifies and keeps the timestamp b of the source.
func (r *refresh) newTimestamp(b []byte) error {
	m, err := trust.ParseTimestamp(b)
	if err != nil {
		return err
	}
	if v := m.Signed.Version; v < r.seen.Timestamp {
		err := trust.Untrusted("timestamp", fmt.Errorf("%w: version %d, and %d was", trust.ErrRollback, v, r.seen.Timestamp))
		return errs.Hint(err, "this node has had newer: use a volume that was sealed later, or the site")
	}
	snap, was := m.Signed.Meta["snapshot.json"].Version, r.seen.Versions["snapshot"]
	if snap < was && m.Signed.Version > r.seen.Timestamp {
		return trust.Untrusted("timestamp", fmt.Errorf("%w: snapshot %d, and %d was", trust.ErrRollback, snap, was))
	}
	signed, err := trust.SignedAt(m.Signed.UnrecognizedFields)
	if err != nil {
		return trust.Untrusted("timestamp", err)
	}
	if signed.After(m.Signed.Expires) {
		return trust.Untrusted("timestamp", fmt.Errorf("%w: signed after its own expiry", trust.ErrMismatch))
	}
	if err := r.lifetime("timestamp", m.Signed.UnrecognizedFields, m.Signed.Expires); err != nil {
		return err
	}
	r.set.RefTime = r.reference(signed)
	if r.set.Root.Signed.IsExpired(r.set.RefTime) {
		return r.expired("root", r.set.Root.Signed.Expires)
	}
	_, err = r.set.UpdateTimestamp(b)
	switch {
	case errors.Is(err, &metadata.ErrEqualVersionNumber{}):
		return nil
	case errors.Is(err, &metadata.ErrExpiredMetadata{}):
		return r.expired("timestamp", m.Signed.Expires)
	case err != nil:
		return trust.Untrusted("timestamp", err)
	}
	if err := r.o.FS.WriteFile(r.path("timestamp.json"), b, 0o644); err != nil {
		return fmt.Errorf("keep timestamp: %w", err)
	}
	r.seen.Timestamp, r.dirty = m.Signed.Version, true
	r.seen.Signed = latest(r.seen.Signed, signed)
	return nil
}

func (r *refresh) expired(role string, at time.Time) error {
	err := trust.Untrusted(role, fmt.Errorf("%w on %s; judged at %s", trust.ErrExpired, at.Format(time.RFC3339),
		r.set.RefTime.UTC().Format(time.RFC3339)))
	if now := r.o.Clock(); now.Year() < firstYear || now.Year() > 2060 {
		return errs.Hint(err, "this machine's clock says %s: set it", now.Format(time.RFC3339))
	}
	return errs.Hint(err, "the operator signs anew with overland trust refresh; a volume may still be installed with --offline")
}

func (r *refresh) snapshot(ctx context.Context) error {
	if b, err := fsx.ReadFile(r.path("snapshot.json"), trust.MaxSnapshot); err == nil {
		if _, err := trust.ParseSnapshot(b); err == nil {
			if _, err := r.set.UpdateSnapshot(b, true); err == nil {
				r.versions()
				kept := r.set.Snapshot.Signed
				return r.lifetime("snapshot", kept.UnrecognizedFields, kept.Expires)
			}
		}
	}
	meta := r.set.Timestamp.Signed.Meta["snapshot.json"]
	b, err := fetchRole(ctx, r.src, r.set, "snapshot", meta, trust.MaxSnapshot)
	if err != nil {
		return err
	}
	m, err := trust.ParseSnapshot(b)
	if err != nil {
		return err
	}
	if err := r.lifetime("snapshot", m.Signed.UnrecognizedFields, m.Signed.Expires); err != nil {
		return err
	}
	if _, err := r.set.UpdateSnapshot(b, false); err != nil {
		if errors.Is(err, &metadata.ErrExpiredMetadata{}) {
			return r.expired("snapshot", m.Signed.Expires)
		}
		return trust.Untrusted("snapshot", err)
	}
	// go-tuf compares with the snapshot on the disk; this holds also when that file was torn.
	for role, was := range r.seen.Versions {
		if role == "snapshot" {
			continue
		}
		now := r.set.Snapshot.Signed.Meta[role+".json"]
		switch {
		case now == nil:
			return trust.Untrusted("snapshot", fmt.Errorf("%w: it no longer speaks of %.100s", trust.ErrMismatch, role))
		case now.Version < was:
			return trust.Untrusted("snapshot", fmt.Errorf("%w: %.100s %d, and %d was", trust.ErrRollback, role, now.Version, was))
		}
	}
	if err := r.o.FS.WriteFile(r.path("snapshot.json"), b, 0o644); err != nil {
		return fmt.Errorf("keep snapshot: %w", err)
	}
	r.versions()
	return nil
}

// versions remembers what the verified snapshot says.
func (r *refresh) versions() {
	now := map[string]int64{"snapshot": r.set.Snapshot.Signed.Version}
	for name, m := range r.set.Snapshot.Signed.Meta {
		now[strings.TrimSuffix(name, ".json")] = m.Version
	}
	if !maps.Equal(now, r.seen.Versions) {
		r.seen.Versions, r.dirty = now, true
	}
}

// targets verifies the top-level targets. The sealing time of a volume is the online key's word, so it
// excuses only what that key signs: what people have signed must not have expired before the lowest
// time that the node believes. With that, trust offline ends too.
func (r *refresh) targets(ctx context.Context) error {
	r.set.RefTime = latest(r.set.RefTime, r.floor())
	_, err := r.loadRole(ctx, r.set, r.src, metadata.TARGETS, metadata.ROOT)
	return err
}

// fetchRole returns a file that a verified statement, meta, names.
func fetchRole(ctx context.Context, src trust.MetadataSource, set *trustedmetadata.TrustedMetadata, role string, meta *metadata.MetaFiles, limit int64) ([]byte, error) {
	version := int64(0)
	if set.Root.Signed.ConsistentSnapshot {
		version = meta.Version
	}
	name := trust.WireName(role, version)
	if src == nil {
		return nil, errs.Errorf(errs.Unavailable, "%s: not on this node, and no source to ask", name)
	}
	if meta.Length > 0 {
		limit = min(limit, meta.Length)
	}
	b, err := trust.Fetch(ctx, src, name, limit)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Signed as existing, and not there: another source may have it.
		return nil, errs.E(errs.Unavailable, err)
	case errors.Is(err, trust.ErrTooLarge):
		return nil, errs.E(errs.Untrusted, err)
	}
	return b, err
}
