-- +goose Up
CREATE TABLE netcache_account (
	identity TEXT PRIMARY KEY, -- hex sha256 of the public key of its client certificate
	name     TEXT NOT NULL,
	prefixes TEXT NOT NULL     -- a JSON list
);
CREATE TABLE netcache_revoked (
	key_id      TEXT PRIMARY KEY,
	public_key  TEXT NOT NULL, -- PEM; '' = only the id is known
	since       BIGINT NOT NULL
);
CREATE TABLE netcache_audit (
	id      TEXT PRIMARY KEY,  -- sorts by time
	at      BIGINT NOT NULL,
	action  TEXT NOT NULL,
	result  TEXT NOT NULL,
	account TEXT NOT NULL,
	remote  TEXT NOT NULL,
	key     TEXT NOT NULL,
	sha512  TEXT NOT NULL,
	size    BIGINT NOT NULL,
	signer  TEXT NOT NULL
);
