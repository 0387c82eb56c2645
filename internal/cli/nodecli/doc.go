// Package nodecli is the command line of overland-agent: flags become Options, one call below does
// the work, and its error becomes one message with a hint and an exit code of package errs.
//
// It uses package flag instead of cobra, because the agent must stay small enough to cross a 4 KB/s
// link. Results go to standard output, everything else to standard error; --json prints documented
// types to which fields are only added.
//
// Failure guarded: a person, or a script, that takes "it did not work" for "it worked".
package nodecli
