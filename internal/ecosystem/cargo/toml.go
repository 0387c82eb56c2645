package cargo

import (
	"bytes"

	"github.com/BurntSushi/toml"

	"overland/internal/errs"
)

// Limits of a configuration file. What the library takes for tables in each other grows with the square of how many there
// are: 30 KB of them are 10 GB.
const (
	configLength = 1 << 20 // bytes
	braces       = 500     // of all inline tables
	dots         = 100     // of a line: a name with many is many tables
	lineDots     = 500     // lines with more than a few
	fewDots      = 10
)

// readTOML reads a configuration file of cargo's, which may be a stranger's, into to.
func readTOML(b []byte, to any) error {
	dotted := 0
	for line := range bytes.Lines(b) {
		n := bytes.Count(line, []byte("."))
		if n > fewDots {
			dotted++
		}
		if n > dots || dotted > lineDots {
			return errs.Errorf(errs.Invalid, "names of too many parts")
		}
	}
	if len(b) > configLength || bytes.Count(b, []byte("{")) > braces {
		return errs.Errorf(errs.Invalid, "more tables than a configuration of cargo's has")
	}
	return toml.Unmarshal(b, to)
}
