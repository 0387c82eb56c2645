// Package runtimetest is the contract of runtime.Runtime, which every
// implementation runs in a test of its own.
//
// It checks what the agent builds on: two copies of a service never run at once, a service outlives
// the agent and is adopted by the next one, and Stop returns when everything is gone.
package runtimetest
