package tree

// StagePrefix is how the names of stages begin.
const StagePrefix = stagePrefix

// What a scan of a file holds at a time, in bytes, and the longest root that it looks for.
const (
	Window  = window
	MaxRoot = maxRoot
)
