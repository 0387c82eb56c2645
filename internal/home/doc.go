// Package home knows the folders of a site directory: one table says what each is for and whether
// removing it loses anything. Every room takes its path from here.
//
// A Durable place holds facts that nobody can make again: keep a copy of it. A Rebuildable one may
// be removed at any time while no Overland program runs: it costs time and network, never a fact. A
// Yours place is written by a person and only read by us.
//
// Failure guarded: a durable fact written into a folder that the documentation calls disposable,
// and two rooms that spell one folder differently.
package home
