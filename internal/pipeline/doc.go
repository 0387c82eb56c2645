// Package pipeline runs the pipelines of an overland.yaml on this machine.
//
// Parties: a commit (source) with its definition (appfile), a memory of what steps ended with, and the
// builder command, in whose cells each step runs in a copy of what it sees of the commit. A plan is a pure
// function of these: Make decides and touches nothing. Run runs what a plan says, asks again when
// something has ended, and so goes on after a kill where it was.
//
// It may touch the depot (files that steps keep), cache/pipelines and cache/work of the site directory,
// and the folder that --out names. The repository is only read.
//
// Failures guarded: a step that is taken for one that has passed with other inputs; one that reaches
// more than its copy; a report or a kept file that is a bomb, or leads elsewhere.
package pipeline
