package source

import (
	"context"
	"fmt"
	"strings"

	"overland/internal/errs"
)

// Root returns the hash of the commit with which c's history begins: the last of its first parents.
// So it is one commit also where histories were merged, and stays the same when another project is
// merged into this one. A fork has the root of what it was forked from.
func (r *Repo) Root(ctx context.Context, c Commit) (string, error) {
	out, err := output(ctx, r.dir, 1<<10, nil, "rev-list", "--first-parent", "--max-parents=0", c.Hash, "--")
	if err != nil {
		return "", fmt.Errorf("find the first commit below %s: %w", c.Hash, err)
	}
	root := strings.TrimSpace(string(out))
	if !isHex(root) {
		return "", errs.Errorf(errs.Invalid, "find the first commit below %s: git printed %.100q", c.Hash, root)
	}
	return root, nil
}
