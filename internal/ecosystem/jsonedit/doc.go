// Package jsonedit replaces strings in a JSON document while it passes, without holding it and without changing any other
// byte.
//
// Failure guarded: a document that is served in other words than its registry's, or held whole in
// memory for each client.
package jsonedit
