// Package machine makes a throwaway machine out of Linux namespaces: its own users,
// processes, mounts, host name and network, with no route anywhere, and a root file
// system that forgets every change.
//
// For demonstrations and multi-host tests only. A program that starts machines calls Init first
// thing in main (or TestMain): a machine's first process is the same program, started again.
// Stopping a machine kills its first process, and the kernel takes everything else down with it, so
// nothing outlives a crash of the caller either.
//
// It works for root and for an ordinary user where user namespaces are
// allowed; Supported says which.
package machine
