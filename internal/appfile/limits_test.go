package appfile_test

import (
	"strings"
	"testing"
	"time"

	"overland/internal/appfile"
	"overland/internal/errs"
)

// A service says how long a node waits for it, but not more than the limits: each is named.
func TestS15LimitsOfAService(t *testing.T) {
	d := func(d time.Duration) appfile.Duration { return appfile.Duration(d) }
	at := appfile.Service{
		Readiness: d(time.Hour), Stable: d(time.Hour), StopTimeout: d(10 * time.Minute),
		Restart:  appfile.Restart{Backoff: appfile.Backoff{Min: d(time.Second), Max: d(24 * time.Hour)}},
		SelfTest: make([]appfile.Check, 64),
	}
	at.SelfTest[63].Within = d(time.Hour)
	if err := at.CheckLimits(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*appfile.Service){
		"readiness":       func(s *appfile.Service) { s.Readiness++ },
		"stable":          func(s *appfile.Service) { s.Stable++ },
		"stop":            func(s *appfile.Service) { s.StopTimeout++ },
		"stop -1s":        func(s *appfile.Service) { s.StopTimeout = d(-time.Second) },
		"restart.backoff": func(s *appfile.Service) { s.Restart.Backoff.Max++ },
		"within":          func(s *appfile.Service) { s.SelfTest = []appfile.Check{{}, {Within: d(8000 * time.Hour)}} },
		"65 self-tests":   func(s *appfile.Service) { s.SelfTest = make([]appfile.Check, 65) },
	} {
		s := at
		change(&s)
		if err := s.CheckLimits(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestS17NobodysUserIsNamed: the user of an application is its alone, so no overland.yaml names it, nor the number by
// which a process stays root's.
func TestS17NobodysUserIsNamed(t *testing.T) {
	for user, refused := range map[string]bool{
		"": false, "www-data": false, "0": false, "1000:50": false, "1879999999": false, "4294967294": false,
		"1880000000": true, "1880065535": true, "60706": true, "1000:61183": true, "4294967295": true, "1000:4294967295": true, "18446744073709551615": true,
	} {
		s := appfile.Service{User: user}
		if err := s.CheckUser(); (err != nil) != refused {
			t.Errorf("user %q: %v", user, err)
		}
	}
}

// TestS17CapabilitiesThatEscape: a service with sys_ptrace traces the threads of root that started
// it, one with sys_admin mounts. Whoever wants such a capability must say that the service is not
// kept apart (isolation: none); a release is checked in the same way.
func TestS17CapabilitiesThatEscape(t *testing.T) {
	for _, c := range []string{"sys_ptrace", "sys_admin", "sys_module", "sys_rawio", "sys_boot", "bpf", "perfmon", "dac_read_search", "mac_admin"} {
		for _, is := range []appfile.Isolation{"", appfile.Required} {
			err := appfile.Rights{Capabilities: []string{"chown", c}, Isolation: is}.Check()
			if err == nil || !strings.Contains(err.Error(), c) || !strings.Contains(errs.HintOf(err), "isolation: none") {
				t.Errorf("%s with isolation %q: %v", c, is, err)
			}
		}
		if err := (appfile.Rights{Capabilities: []string{c}, Isolation: appfile.NoIsolation}).Check(); err != nil {
			t.Errorf("%s with isolation none: %v", c, err)
		}
	}
	if err := (appfile.Rights{Capabilities: []string{"net_bind_service", "net_admin", "mknod"}}).Check(); err != nil {
		t.Error(err)
	}
}
