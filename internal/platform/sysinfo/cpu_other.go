//go:build !amd64 && !arm

package sysinfo

import "runtime"

// cpuLevel returns the one level of arm64 that is told apart; "" for
// what Overland builds nothing for.
func cpuLevel() string {
	if runtime.GOARCH == "arm64" {
		return "armv8"
	}
	return ""
}
