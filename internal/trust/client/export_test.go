package client

// What the tests know of the inside: limits, what is remembered, and how a first root is checked.
const (
	MaxDelegations = maxDelegations
)

var (
	LoadSeen = loadSeen
	NewSet   = newSet
)
