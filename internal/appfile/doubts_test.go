package appfile_test

import (
	"strings"
	"testing"

	"overland/internal/appfile"
)

func TestALowPortWithoutTheCapabilityIsDoubted(t *testing.T) {
	a := &appfile.App{Services: map[string]appfile.Service{
		"web":   {Ports: []appfile.Port{{Number: 8080}, {Number: 80}}},
		"right": {Ports: []appfile.Port{{Number: 443}}, Rights: appfile.Rights{Capabilities: []string{"net_bind_service"}}},
		"old":   {Ports: []appfile.Port{{Number: 25}}, Rights: appfile.Rights{Isolation: appfile.NoIsolation}},
	}}
	got := a.Doubts()
	if len(got) != 1 || !strings.Contains(got[0], "service web") || !strings.Contains(got[0], "port 80,") || !strings.Contains(got[0], "net_bind_service") {
		t.Errorf("got %q, want one of port 80 of web, with the capability's name", got)
	}
}
