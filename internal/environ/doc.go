// Package environ is what a child process gets to know of this one's environment: all of it but the
// variables that hold keys, $OVERLAND_PASSPHRASE and its like.
//
// Child stands in for os.Environ, which nothing else calls (a habit in internal/layers); Without and
// Lookup are for a list that came from elsewhere. Hide takes the secrets out of the process itself,
// once, at its start: then a library that starts a program cannot pass them on, and
// /proc/PID/environ does not show them to other processes of the same user.
//
// The agent links this room. Failure guarded: a build script that reads the passphrase of the signing
// keys from its own environment.
package environ
