package volume

import (
	"fmt"
	"path/filepath"

	"overland/internal/operator"
)

// nextOnNode returns the command line that installs s on a node. Root and channel stand in it
// together: both are the operator's word, and neither may come from who carries the file.
func nextOnNode(s *operator.Sealed) string {
	return fmt.Sprintf("sh %s install --root %s --channel %s", filepath.Base(s.Paths[0]), s.Fingerprint, s.Channel)
}
