// Package host puts the agent on a machine and keeps it there: the service under systemd,
// OpenRC or neither, the supervisor that keeps the agent running, and the switch from one
// version of the agent to the next.
//
// Files, all below the node's directory DIR (default /var/lib/overland):
//
//	agent/SLOT/overland-agent   one version of the program; SLOT is its sha256 in hex
//	agent/SLOT/refused          why this version was taken back; it is never tried again
//	agent/current → SLOT        what the supervisor starts
//	agent/good → SLOT           what last proved itself; the service file and the link lead here
//	agent/intent.json           a switch that is being tried: to, from, tries left
//	agent/lock                  held by the one supervisor
//
// Outside DIR there are at most two more: /usr/local/bin/overland-agent, a link to agent/good, and
// one service file. Nothing that install did not make is changed or removed.
//
// Parties: the service manager starts the supervisor; the supervisor starts the agent ("run") and
// gives it a pipe; the agent writes "ready" to the pipe when it has opened its state and adopted
// its services. Services are not the supervisor's business: they have their own session, outlive
// the agent, and are adopted by the next one.
//
// Failure guarded: a new agent that does not work leaves a machine that nobody can reach, or takes
// its services down.
package host
