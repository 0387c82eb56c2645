// Package bins builds the real programs for tests that run them, on
// this machine or under qemu-user.
//
// A program is built once for each platform and test run; the Go command's own cache makes the next
// run cheap.
package bins
