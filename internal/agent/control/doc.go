// Package control carries requests to the agent that runs, over a Unix
// socket in the node's directory.
//
// Server answers for a Handler; Call and CallProgress ask. One connection carries one request, as a
// JSON line, and its response, with lines of progress before it; the types are those of nodeapi.
// The socket is the owner's alone (0600).
//
// It touches run/agent.sock. Failures guarded: a client that is stopped or gone holds up an
// installation; a request that is cut short does something.
package control
