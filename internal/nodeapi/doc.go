// Package nodeapi holds the data that a node and its operator exchange: status, report, progress,
// history, the requests on the control socket, and what inspect prints.
//
// These are plain types that the agent, the site and both command lines link, so that one
// fact has one name wherever it is printed. Keys are camelCase; fields are only ever
// added; sizes are bytes, durations nanoseconds, times RFC 3339. Nothing here does any
// work beyond reading and writing JSON.
//
// Failure guarded: one fact in two dialects, and a request that nobody understands
// taken for one that was carried out.
package nodeapi
