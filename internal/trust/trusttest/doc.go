// Package trusttest holds what every implementation of repository.Files and repository.Keys must
// do, as tests that each of them runs, and implementations in memory for the tests of other rooms.
//
// Tests only. Failure guarded: a store that passes its own tests and
// loses another writer's signature.
package trusttest
