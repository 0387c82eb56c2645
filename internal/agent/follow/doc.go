// Package follow looks for news: at the sites that a node follows, in turn, and in
// the directories that it watches.
//
// OpenSource opens what a person or a watched directory offers: a volume, a depot directory, a
// site. Follower is the agent's main loop; what it finds it hands to Install, and remembers
// what came of it for the status.
//
// It reads what it is offered and writes nothing. Failures guarded: a source that is dead, slow or
// lying ends or holds up the loop, or a pipe, a device or a million files in a watched folder do; a
// file that is still being copied is taken for a volume; what is known of a bad site is forgotten
// because the list of sites changed.
package follow
