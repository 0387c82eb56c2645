// Package jsonedit replaces strings in a JSON document while it passes, without holding it and
// without changing any other byte.
//
// Failure guarded: a document that differs from its registry's in more than addresses, or that is
// held whole in memory for each client.
package jsonedit
