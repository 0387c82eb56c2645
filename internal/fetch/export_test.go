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

// DirFile is an open file of a directory.
type DirFile = dirFile

// OpenWith has s open files with open.
func (s *DirSource) OpenWith(open func(name string) (DirFile, int64, error)) {
	s.open = func(_, name string) (dirFile, int64, error) { return open(name) }
}
