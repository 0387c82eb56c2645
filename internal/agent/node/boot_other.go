//go:build !linux

package node

import "time"

// Boot knows no boot here: every process counts as one, and no time passes in it.
func Boot() (id string, since time.Duration) { return "", 0 }
