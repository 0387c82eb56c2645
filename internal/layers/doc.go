// Package layers holds the house's floors (docs/design.md §3): its test fails when a package
// imports upward, imports a neighbour on its floor, or is not listed, and when the agent's program
// drags in what it must not carry.
//
// A new package adds itself to the table in layers_test.go. Nobody imports this one.
package layers
