-- +goose Up
CREATE TABLE registry_blob ( -- which repository has which blob
	repository TEXT NOT NULL,
	blob       TEXT NOT NULL, -- sha256
	at         BIGINT NOT NULL,
	PRIMARY KEY (repository, blob)
);
CREATE INDEX registry_blob_by_blob ON registry_blob (blob);
CREATE TABLE registry_manifest (
	repository    TEXT NOT NULL,
	blob          TEXT NOT NULL, -- sha256
	digest        TEXT NOT NULL, -- as it was pushed: sha256 or sha512
	media_type    TEXT NOT NULL,
	size          BIGINT NOT NULL,
	subject       TEXT NOT NULL, -- as the manifest says it; '' = none
	artifact_type TEXT NOT NULL,
	annotations   TEXT NOT NULL, -- a JSON object
	at            BIGINT NOT NULL,
	PRIMARY KEY (repository, blob)
);
CREATE INDEX registry_manifest_by_subject ON registry_manifest (repository, subject);
CREATE TABLE registry_child ( -- what a manifest points to, but for its subject
	repository TEXT NOT NULL,
	blob       TEXT NOT NULL, -- the manifest
	child      TEXT NOT NULL, -- as the manifest says it
	PRIMARY KEY (repository, blob, child),
	FOREIGN KEY (repository, blob) REFERENCES registry_manifest (repository, blob) ON DELETE CASCADE
);
CREATE INDEX registry_child_by_child ON registry_child (repository, child);
CREATE TABLE registry_tag (
	repository TEXT NOT NULL,
	name       TEXT NOT NULL,
	blob       TEXT NOT NULL,
	at         BIGINT NOT NULL,
	PRIMARY KEY (repository, name),
	FOREIGN KEY (repository, blob) REFERENCES registry_manifest (repository, blob) ON DELETE CASCADE
);
CREATE INDEX registry_tag_by_blob ON registry_tag (repository, blob);
CREATE TABLE registry_alias ( -- other names of blobs
	name TEXT PRIMARY KEY,    -- sha512
	blob TEXT NOT NULL,       -- sha256
	size BIGINT NOT NULL
);
CREATE INDEX registry_alias_by_blob ON registry_alias (blob);
CREATE TABLE registry_upload ( -- where an upload goes, and who sends it
	id         TEXT PRIMARY KEY,
	repository TEXT NOT NULL,
	account    TEXT NOT NULL,
	at         BIGINT NOT NULL
);
CREATE TABLE account ( -- who may do what in the registry
	name    TEXT PRIMARY KEY,
	secret  TEXT NOT NULL UNIQUE, -- how it is known: token:SHA256 of its token, or key:SHA256 of its certificate's public key
	grants  TEXT NOT NULL,        -- a JSON list
	made    BIGINT NOT NULL,
	expires BIGINT NOT NULL       -- 0 = never
);
