package fetch

// What the tests know of the inside: two defaults, how an answer is checked, and what a source is
// remembered under.
const (
	DefaultAttempts = defaultAttempts
	DefaultParallel = defaultParallel
)

var (
	CheckBlob = (*SiteSource).checkBlob
	SourceID  = id
)
