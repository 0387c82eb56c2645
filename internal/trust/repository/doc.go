// Package repository is an operator's side of trust: it signs who may sign, what is released and what channels run.
//
// Touches the directory and the keys that it is given. timestamp.json is the commit mark: a change that is cut off leaves
// the old state, and the next change replaces its leftovers. Failures guarded: a state that nodes cannot follow, a
// signature that is lost, a promotion that overwrites another one.
package repository
