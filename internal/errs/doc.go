// Package errs is the closed set of error kinds that leave Overland, and the one table that maps a
// kind to an exit code, an HTTP status and a JSON code.
//
// Rooms return plain errors, sentinels or structs; where the kind is known, they wrap with E. A
// person sees what Explain makes of it: what happened, to what, why, and what to do next.
//
// Failure guarded: one failure with two exit codes, or with a status that contradicts its message.
package errs
