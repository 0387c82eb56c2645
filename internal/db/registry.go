package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
)

// Manifest is a manifest of a repository of the registry.
type Manifest struct {
	Blob         digest.Digest     // its bytes
	Digest       string            // the name that it was pushed under: a sha256 or a sha512
	MediaType    string            //
	Size         int64             // bytes
	Subject      string            // digest of what it is about; "" = nothing
	ArtifactType string            //
	Annotations  map[string]string //
	Children     []string          // digests of what it points to, as it names them; not read back
	Needs        []digest.Digest   // blobs and manifests that the repository must have; not read back
	At           time.Time         // when it was pushed first, in whole milliseconds
	Wanted       time.Time         // when somebody last wanted it to stay: see WantManifest; not written from here
}

// AddRegistryBlob notes that repository has the blob, from now on.
func (d *DB) AddRegistryBlob(ctx context.Context, repository string, blob digest.Digest, at time.Time) error {
	return d.change(ctx, "add a blob to the repository "+repository, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO registry_blob (repository, blob, at) VALUES ($1, $2, $3)"+
			" ON CONFLICT (repository, blob) DO UPDATE SET at = excluded.at", repository, string(blob), at.UnixMilli())
		if err != nil {
			return err
		}
		return came(ctx, tx, blob)
	})
}

// came notes that a push brought the blob.
func came(ctx context.Context, tx *sql.Tx, blob digest.Digest) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO registry_came (blob) VALUES ($1) ON CONFLICT DO NOTHING", string(blob))
	return err
}

// NoteRegistryCame notes that a push brings the blob.
func (d *DB) NoteRegistryCame(ctx context.Context, blob digest.Digest) error {
	return d.change(ctx, "note a blob", func(tx *sql.Tx) error { return came(ctx, tx, blob) })
}

// RegistryCame reports whether a push brought the blob, or one like it, ever.
func (d *DB) RegistryCame(ctx context.Context, blob digest.Digest) (bool, error) {
	return d.exists(ctx, "look for a blob", "SELECT 1 FROM registry_came WHERE blob = $1", string(blob))
}

// HasRegistryBlob reports whether repository has the blob.
func (d *DB) HasRegistryBlob(ctx context.Context, repository string, blob digest.Digest) (bool, error) {
	return d.exists(ctx, "look for a blob of "+repository, "SELECT 1 FROM registry_blob WHERE repository = $1 AND blob = $2",
		repository, string(blob))
}

// RegistryBlobIn returns the repositories that have the blob, sorted.
func (d *DB) RegistryBlobIn(ctx context.Context, blob digest.Digest) ([]string, error) {
	return d.texts(ctx, "look for a blob", "SELECT repository FROM registry_blob WHERE blob = $1 ORDER BY repository", string(blob))
}

// RemoveRegistryBlob takes the blob, which has the names names, out of repository: errs.NotFound
// when that does not have it, errs.Conflict while a manifest there points to it.
func (d *DB) RemoveRegistryBlob(ctx context.Context, repository string, blob digest.Digest, names []string) error {
	return d.change(ctx, "remove a blob of "+repository, func(tx *sql.Tx) error {
		for _, name := range names {
			var one int
			err := tx.QueryRowContext(ctx, "SELECT 1 FROM registry_child WHERE repository = $1 AND child = $2 LIMIT 1", repository, name).Scan(&one)
			if err == nil {
				return errs.Errorf(errs.Conflict, "a manifest points to it")
			}
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		return one(tx.ExecContext(ctx, "DELETE FROM registry_blob WHERE repository = $1 AND blob = $2", repository, string(blob)))
	})
}

// one returns sql.ErrNoRows when a statement changed nothing.
func one(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		return sql.ErrNoRows
	}
	return err
}

// exists reports whether query selects a row.
func (d *DB) exists(ctx context.Context, what, query string, args ...any) (there bool, err error) {
	err = d.read.QueryRowContext(ctx, "SELECT EXISTS ("+query+")", args...).Scan(&there)
	return there, failed(what, err)
}

// texts returns the one column that query selects.
func (d *DB) texts(ctx context.Context, what, query string, args ...any) ([]string, error) {
	var list []string
	err := d.each(ctx, what, func(scan func(...any) error) error {
		var s string
		err := scan(&s)
		list = append(list, s)
		return err
	}, query, args...)
	return list, err
}

// AddRegistryAlias notes that name, a sha512, is the blob of size bytes. One that is there stays.
func (d *DB) AddRegistryAlias(ctx context.Context, name string, blob digest.Digest, size int64) error {
	return d.exec(ctx, "name a blob", "INSERT INTO registry_alias (name, blob, size) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		name, string(blob), size)
}

// RegistryAlias returns the blob that name, a sha512, is: errs.NotFound when that is not known.
func (d *DB) RegistryAlias(ctx context.Context, name string) (digest.Digest, error) {
	var blob string
	err := d.read.QueryRowContext(ctx, "SELECT blob FROM registry_alias WHERE name = $1", name).Scan(&blob)
	return digest.Digest(blob), failed("look for "+name, err)
}

// RegistryAliases returns the other names of the blob, sorted.
func (d *DB) RegistryAliases(ctx context.Context, blob digest.Digest) ([]string, error) {
	return d.texts(ctx, "look for the names of a blob", "SELECT name FROM registry_alias WHERE blob = $1 ORDER BY name", string(blob))
}

const manifestColumns = "blob, digest, media_type, size, subject, artifact_type, annotations, at, wanted"

func readManifest(scan func(...any) error) (m Manifest, err error) {
	var blob, annotations string
	var at, wanted int64
	if err := scan(&blob, &m.Digest, &m.MediaType, &m.Size, &m.Subject, &m.ArtifactType, &annotations, &at, &wanted); err != nil {
		return m, err
	}
	m.Blob, m.At, m.Wanted = digest.Digest(blob), time.UnixMilli(at), time.UnixMilli(wanted)
	return m, json.Unmarshal([]byte(annotations), &m.Annotations)
}

// PutManifest stores m in repository, and lets tags stand for it, in one transaction. m, and what such a tag stood for
// until now, are wanted at m.At. Errors: a *LacksError
// when repository does not have all that m needs. check, which may be nil, is asked for each tag
// that stands for another manifest, with that one's blob; its error ends the change.
func (d *DB) PutManifest(ctx context.Context, repository string, m Manifest, tags []string, check func(tag string, now digest.Digest) error) error {
	return d.change(ctx, "push to "+repository, func(tx *sql.Tx) error {
		annotations, err := json.Marshal(m.Annotations)
		if err == nil {
			err = has(ctx, tx, repository, m.Needs)
		}
		if err != nil {
			return err
		}
		if err := came(ctx, tx, m.Blob); err != nil {
			return err
		}
		at := m.At.UnixMilli()
		_, err = tx.ExecContext(ctx, "INSERT INTO registry_manifest (repository, "+manifestColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)"+
			" ON CONFLICT (repository, blob) DO UPDATE SET wanted = excluded.wanted",
			repository, string(m.Blob), m.Digest, m.MediaType, m.Size, m.Subject, m.ArtifactType, string(annotations), at)
		if err != nil {
			return err
		}
		for _, c := range m.Children {
			if _, err := tx.ExecContext(ctx, "INSERT INTO registry_child (repository, blob, child) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
				repository, string(m.Blob), c); err != nil {
				return err
			}
		}
		for _, name := range tags {
			if err := putTag(ctx, tx, repository, name, m.Blob, at, check); err != nil {
				return err
			}
		}
		return nil
	})
}

// LacksError is the error for a manifest that points to what its repository does not have.
type LacksError struct{ Blob digest.Digest }

func (e *LacksError) Error() string { return "the repository does not have " + string(e.Blob) }

// has returns a *LacksError unless repository has all of needs, as a blob or a manifest.
func has(ctx context.Context, tx *sql.Tx, repository string, needs []digest.Digest) error {
	for _, d := range needs {
		var there bool
		err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM registry_blob WHERE repository = $1 AND blob = $2"+
			" UNION ALL SELECT 1 FROM registry_manifest WHERE repository = $1 AND blob = $2)", repository, string(d)).Scan(&there)
		if err != nil {
			return err
		}
		if !there {
			return &LacksError{d}
		}
	}
	return nil
}

func putTag(ctx context.Context, tx *sql.Tx, repository, name string, blob digest.Digest, at int64, check func(string, digest.Digest) error) error {
	var now string
	err := tx.QueryRowContext(ctx, "SELECT blob FROM registry_tag WHERE repository = $1 AND name = $2", repository, name).Scan(&now)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	case now == string(blob):
		return nil
	case check != nil:
		if err := check(name, digest.Digest(now)); err != nil {
			return err
		}
	}
	if err := wantManifest(ctx, tx, repository, now, at); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO registry_tag (repository, name, blob, at) VALUES ($1, $2, $3, $4)"+
		" ON CONFLICT (repository, name) DO UPDATE SET blob = excluded.blob, at = excluded.at", repository, name, string(blob), at)
	return err
}

// Manifest returns the manifest of repository with these bytes: errs.NotFound when it has none.
func (d *DB) Manifest(ctx context.Context, repository string, blob digest.Digest) (Manifest, error) {
	m, err := readManifest(d.read.QueryRowContext(ctx, "SELECT "+manifestColumns+" FROM registry_manifest WHERE repository = $1 AND blob = $2",
		repository, string(blob)).Scan)
	return m, failed("manifest of "+repository, err)
}

// TaggedManifest returns the manifest that name stands for in repository: errs.NotFound when there is none.
func (d *DB) TaggedManifest(ctx context.Context, repository, name string) (Manifest, error) {
	m, err := readManifest(d.read.QueryRowContext(ctx, "SELECT "+manifestColumns+" FROM registry_manifest WHERE repository = $1 AND blob ="+
		" (SELECT blob FROM registry_tag WHERE repository = $1 AND name = $2)", repository, name).Scan)
	return m, failed("tag "+name+" of "+repository, err)
}

// Referrers calls visit for the manifests of repository whose subject is called one or other, the oldest first, until
// that returns false; for those of artifactType alone unless that is "". With after, a manifest of the repository,
// they are those behind it.
func (d *DB) Referrers(ctx context.Context, repository, one, other, artifactType string, after *Manifest, visit func(Manifest) bool) error {
	at, blob := int64(math.MinInt64), ""
	if after != nil {
		at, blob = after.At.UnixMilli(), string(after.Blob)
	}
	err := d.each(ctx, "referrers in "+repository, func(scan func(...any) error) error {
		m, err := readManifest(scan)
		if err == nil && !visit(m) {
			err = errEnough
		}
		return err
	}, "SELECT "+manifestColumns+" FROM registry_manifest WHERE repository = $1 AND (subject = $2 OR subject = $3)"+
		" AND ($4 = '' OR artifact_type = $4) AND (at > $5 OR at = $5 AND blob > $6) ORDER BY at, blob",
		repository, one, other, artifactType, at, blob)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

var errEnough = errors.New("enough")

// RemoveManifest removes the manifest with these bytes from repository, and the tags that stand for
// it: errs.NotFound when there is none. check is asked for each such tag; unless it is nil, a manifest that another one
// points to stays too (errs.Conflict): a tag may stand for that.
func (d *DB) RemoveManifest(ctx context.Context, repository string, blob digest.Digest, check func(tag string, now digest.Digest) error) error {
	return d.change(ctx, "remove a manifest of "+repository, func(tx *sql.Tx) error {
		if check != nil {
			rows, err := tx.QueryContext(ctx, "SELECT name FROM registry_tag WHERE repository = $1 AND blob = $2", repository, string(blob))
			if err != nil {
				return err
			}
			for rows.Next() {
				var name string
				if err = rows.Scan(&name); err == nil {
					err = check(name, blob)
				}
				if err != nil {
					return errors.Join(err, rows.Close())
				}
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				return err
			}
			var pointed bool
			err = tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM registry_child WHERE repository = $1 AND"+
				" (child = $2 OR child IN (SELECT name FROM registry_alias WHERE blob = $2)))", repository, string(blob)).Scan(&pointed)
			if err == nil && pointed {
				err = errs.Errorf(errs.Conflict, "a manifest points to it")
			}
			if err != nil {
				return err
			}
		}
		return one(tx.ExecContext(ctx, "DELETE FROM registry_manifest WHERE repository = $1 AND blob = $2", repository, string(blob)))
	})
}

// RemoveRegistryTag removes the tag name of repository: errs.NotFound when there is none. What it stood for is wanted at
// the moment at.
func (d *DB) RemoveRegistryTag(ctx context.Context, repository, name string, at time.Time) error {
	return d.change(ctx, "remove the tag "+name+" of "+repository, func(tx *sql.Tx) error {
		var now string
		err := tx.QueryRowContext(ctx, "SELECT blob FROM registry_tag WHERE repository = $1 AND name = $2", repository, name).Scan(&now)
		if err == nil {
			err = wantManifest(ctx, tx, repository, now, at.UnixMilli())
		}
		if err != nil {
			return err
		}
		return one(tx.ExecContext(ctx, "DELETE FROM registry_tag WHERE repository = $1 AND name = $2", repository, name))
	})
}

// RegistryTags returns at most limit tags of repository that sort behind after, sorted by their bytes.
func (d *DB) RegistryTags(ctx context.Context, repository, after string, limit int) ([]string, error) {
	return d.texts(ctx, "tags of "+repository, "SELECT name FROM registry_tag WHERE repository = $1 AND name > $2 ORDER BY name LIMIT $3",
		repository, after, limit)
}

// Repositories returns at most limit repositories of the registry that sort behind after, sorted.
func (d *DB) Repositories(ctx context.Context, after string, limit int) ([]string, error) {
	return d.texts(ctx, "repositories", "SELECT repository FROM registry_blob WHERE repository > $1"+
		" UNION SELECT repository FROM registry_manifest WHERE repository > $1 ORDER BY repository LIMIT $2", after, limit)
}

// HasRepository reports whether the registry has anything under that name.
func (d *DB) HasRepository(ctx context.Context, name string) (bool, error) {
	return d.exists(ctx, "look for the repository "+name, "SELECT 1 FROM registry_blob WHERE repository = $1"+
		" UNION ALL SELECT 1 FROM registry_manifest WHERE repository = $1", name)
}

// RepositoryBelow reports whether a repository of the registry is called first, or first and more parts.
func (d *DB) RepositoryBelow(ctx context.Context, first string) (bool, error) {
	const where = " WHERE repository = $1 OR repository > $2 AND repository < $3"
	return d.exists(ctx, "look for repositories below "+first, "SELECT 1 FROM registry_blob"+where+" UNION ALL SELECT 1 FROM registry_manifest"+where,
		first, first+"/", first+string('/'+1))
}

// AddRegistryUpload notes that the upload id goes to repository, and that account sends it.
func (d *DB) AddRegistryUpload(ctx context.Context, id, repository, account string, at time.Time) error {
	return d.exec(ctx, "begin an upload to "+repository, "INSERT INTO registry_upload (id, repository, account, at) VALUES ($1, $2, $3, $4)",
		id, repository, account, at.UnixMilli())
}

// RegistryUpload returns where the upload id goes, and who sends it: errs.NotFound when it is not known.
func (d *DB) RegistryUpload(ctx context.Context, id string) (repository, account string, err error) {
	err = d.read.QueryRowContext(ctx, "SELECT repository, account FROM registry_upload WHERE id = $1", id).Scan(&repository, &account)
	return repository, account, failed("upload", err)
}

// RemoveRegistryUpload forgets the upload id; an unknown one is not an error.
func (d *DB) RemoveRegistryUpload(ctx context.Context, id string) error {
	return d.exec(ctx, "end an upload", "DELETE FROM registry_upload WHERE id = $1", id)
}

// SurplusRegistryUploads returns the uploads of account but the last keep of them to be begun.
func (d *DB) SurplusRegistryUploads(ctx context.Context, account string, keep int) ([]string, error) {
	return d.texts(ctx, "uploads of an account", "SELECT id FROM registry_upload WHERE account = $1 AND id NOT IN"+
		" (SELECT id FROM registry_upload WHERE account = $1 ORDER BY at DESC, id LIMIT $2) ORDER BY at, id", account, keep)
}

// OldRegistryUploads returns the uploads that were begun before the moment at.
func (d *DB) OldRegistryUploads(ctx context.Context, at time.Time) ([]string, error) {
	return d.texts(ctx, "old uploads", "SELECT id FROM registry_upload WHERE at < $1 ORDER BY id", at.UnixMilli())
}

// SweepRegistryBlobs takes those blobs out of their repositories that came before the moment at, and that no
// manifest there points to: the rest of a push that was not finished. It returns how many.
func (d *DB) SweepRegistryBlobs(ctx context.Context, at time.Time) (n int64, err error) {
	err = d.change(ctx, "sweep the registry", func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "DELETE FROM registry_blob WHERE at < $1 AND NOT EXISTS (SELECT 1 FROM registry_child c"+
			" WHERE c.repository = registry_blob.repository AND (c.child = registry_blob.blob"+
			" OR c.child IN (SELECT name FROM registry_alias a WHERE a.blob = registry_blob.blob)))", at.UnixMilli())
		if err == nil {
			n, err = r.RowsAffected()
		}
		return err
	})
	return n, err
}

// RegistryBlobs calls visit for each blob that a repository of the registry has, manifests too; for one that
// several have, once.
func (d *DB) RegistryBlobs(ctx context.Context, visit func(digest.Digest) error) error {
	return d.each(ctx, "blobs of the registry", func(scan func(...any) error) error {
		var blob string
		if err := scan(&blob); err != nil {
			return err
		}
		return visit(digest.Digest(blob))
	}, "SELECT blob FROM registry_blob UNION SELECT blob FROM registry_manifest")
}
