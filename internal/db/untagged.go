package db

import (
	"context"
	"database/sql"
	"time"

	"overland/internal/digest"
)

// Idle is a manifest of a repository of the registry that nothing holds.
type Idle struct {
	Repository string
	Blob       digest.Digest
}

// WantManifest notes that somebody wants the manifest of repository to stay, at the moment at. One that is not there is
// not an error.
func (d *DB) WantManifest(ctx context.Context, repository string, blob digest.Digest, at time.Time) error {
	return d.change(ctx, "keep a manifest of "+repository, func(tx *sql.Tx) error {
		return wantManifest(ctx, tx, repository, string(blob), at.UnixMilli())
	})
}

func wantManifest(ctx context.Context, tx *sql.Tx, repository, blob string, at int64) error {
	_, err := tx.ExecContext(ctx, "UPDATE registry_manifest SET wanted = $3 WHERE repository = $1 AND blob = $2 AND wanted < $3", repository, blob, at)
	return err
}

// held returns the start of a query that knows, as held, which manifests stay: those with a tag, those that were wanted
// at the moment $1 or after, and from there on what an index points to, and what is about a manifest (its subject). A
// name of either kind counts. where limits a table, of which it gets the name, to a repository.
//
// One recursive term, as PostgreSQL wants it too.
func held(where func(table string) string) string {
	return "WITH RECURSIVE edge (repository, holder, blob) AS (" +
		"SELECT m.repository, c.blob, m.blob FROM registry_child c LEFT JOIN registry_alias a ON a.name = c.child" +
		" JOIN registry_manifest m ON m.repository = c.repository AND m.blob = COALESCE(a.blob, c.child) WHERE " + where("c") +
		" UNION ALL SELECT m.repository, COALESCE(a.blob, m.subject), m.blob FROM registry_manifest m" +
		" LEFT JOIN registry_alias a ON a.name = m.subject WHERE m.subject <> '' AND " + where("m") +
		"), held (repository, blob) AS (" +
		"SELECT t.repository, t.blob FROM registry_tag t WHERE " + where("t") +
		" UNION SELECT m.repository, m.blob FROM registry_manifest m WHERE m.wanted >= $1 AND " + where("m") +
		" UNION SELECT e.repository, e.blob FROM held h JOIN edge e ON e.repository = h.repository AND e.holder = h.blob) "
}

// IdleManifests returns the manifests that nothing holds and that nobody has wanted since the moment before. Those of
// which it was not noted when they were wanted are from now on.
func (d *DB) IdleManifests(ctx context.Context, before, now time.Time) (list []Idle, err error) {
	unnoted, err := d.exists(ctx, "look for manifests", "SELECT 1 FROM registry_manifest WHERE wanted = 0")
	if err == nil && unnoted { // of a site that is older than this column
		err = d.exec(ctx, "keep manifests", "UPDATE registry_manifest SET wanted = $1 WHERE wanted = 0", now.UnixMilli())
	}
	if err != nil {
		return nil, err
	}
	everywhere := func(string) string { return "TRUE" }
	err = d.each(ctx, "look for manifests that nothing holds", func(scan func(...any) error) error {
		var i Idle
		var blob string
		err := scan(&i.Repository, &blob)
		i.Blob = digest.Digest(blob)
		list = append(list, i)
		return err
	}, held(everywhere)+"SELECT repository, blob FROM registry_manifest m WHERE wanted < $1 AND NOT EXISTS"+
		" (SELECT 1 FROM held h WHERE h.repository = m.repository AND h.blob = m.blob) ORDER BY repository, blob", before.UnixMilli())
	return list, err
}

// SweepManifests removes the manifests of repository that nothing holds and that nobody has wanted since the moment
// before. It returns how many. What is pushed meanwhile comes before or after it: then it is held, or it is lacking, and
// its push is told so.
func (d *DB) SweepManifests(ctx context.Context, repository string, before time.Time) (n int64, err error) {
	here := func(table string) string { return table + ".repository = $2" }
	err = d.change(ctx, "sweep the manifests of "+repository, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, held(here)+"DELETE FROM registry_manifest WHERE repository = $2 AND wanted < $1"+
			" AND blob NOT IN (SELECT blob FROM held)", before.UnixMilli(), repository)
		if err == nil {
			n, err = r.RowsAffected()
		}
		return err
	})
	return n, err
}
