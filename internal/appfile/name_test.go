package appfile_test

import (
	"regexp"
	"testing"

	"overland/internal/appfile"
)

func TestS3ReservedNames(t *testing.T) {
	pattern := regexp.MustCompile(appfile.ReservedPattern)
	for name, reserved := range map[string]bool{
		"overland-agent": true, "overland": true, "overland-site": true, "local": true,
		"root": true, "targets": true, "snapshot": true, "timestamp": true,
		"wallet": false, "overlander": false, "locals": false, "my-overland": false, "agent": false, "": false,
	} {
		if got := appfile.Reserved(name) != ""; got != reserved {
			t.Errorf("%q: reserved is %v, want %v", name, got, reserved)
		}
		if got := pattern.MatchString(name); got != reserved {
			t.Errorf("%q: the schema's pattern says %v, want %v", name, got, reserved)
		}
	}
}
