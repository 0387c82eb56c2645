// Package db holds the durable facts of a site in a database: what people decided and what
// happened, which nobody can fetch again. Blobs and signed metadata are not here: they are
// files with proofs of their own.
//
//	DB          typed queries, one method each; all SQL of the house's facts is in this package
//	migrations/ the schema, as ordered steps that goose applies; each runs in a transaction
//	sqlite      opens DIR/site.db: today's only engine
//	dbtest      the suite that each engine runs
//
// The SQL is what SQLite and PostgreSQL both understand: $1 placeholders, ON CONFLICT, TEXT, BIGINT
// and BOOLEAN, times as Unix milliseconds, identifiers made by us and not by a sequence. So an
// engine is a way to open, not a second set of queries. Writes of one process go through one
// connection; other processes wait for it.
//
// Failure guarded: a decision kept in a folder that may be removed; a half-applied schema; an older
// program that writes into a newer schema.
package db
