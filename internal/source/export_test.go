package source

// The limits that tests step over.
const (
	StoredBlock = storedBlock
	MaxFile     = maxFile
)
