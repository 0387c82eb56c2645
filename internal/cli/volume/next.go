package volume

import (
	"path/filepath"

	"overland/internal/digest"
	"overland/internal/operator"
	"overland/internal/volume"
)

// nextOnNode returns the command line that installs s on a node, when the program in front of it,
// which has digest program, is what was sealed. Root and channel are in it too: all three are the
// operator's word, and none may come from whoever carries the file.
func nextOnNode(s *operator.Sealed, program digest.Digest) string {
	return volume.CheckedLine(filepath.Base(s.Paths[0]), program,
		"install", "--root", string(s.Fingerprint), "--channel", string(s.Channel))
}
