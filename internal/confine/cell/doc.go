// Package cell runs a build tool, or what a repository brings, where it sees its inputs and nothing
// else: the one setting of package confine for builds, replays and what overland open runs.
//
//	shown       the machine's programs (/usr, what loads them, certificates) and the folders of PATH,
//	            read-only; the folders that the caller names; fresh /proc, /dev, /tmp and /run
//	not shown   homes, keys, the site directory, sockets, settings and secrets of the machine, nor
//	            those that tools below /usr keep there
//
// The command is user 1000 in there, whoever starts it. To the machine it is User when root starts
// it, else the caller. Of a folder of PATH below a home only programs are shown: beside them lie
// credentials.
//
// It may change the owner of the folders in Options.Own, and starts processes.
//
// Failure guarded: a build script that reads keys or another user's files, reaches a socket, outlives
// its build, or fills the machine.
package cell
