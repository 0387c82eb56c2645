//go:build linux && !amd64

package confine_test

// Calls that not every processor has: two numbers that none uses.
const forkCall, vforkCall = 1<<16 + 1, 1<<16 + 2
