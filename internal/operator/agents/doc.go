// Package agents finds the agent programs of this machine and makes a release of them.
//
// It is the only maker of releases of the agent: a repository that calls itself so is refused by
// package release. It reads the folder that it is given and writes to the depot that it is given.
// Failure guarded: an agent whose version does not say which programs it is.
package agents
