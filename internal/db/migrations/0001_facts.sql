-- +goose Up
CREATE TABLE freeze (
	name TEXT PRIMARY KEY,
	at   BIGINT NOT NULL, -- Unix milliseconds, as all times
	made BIGINT NOT NULL
);
CREATE TABLE setting (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
);
