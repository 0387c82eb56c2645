package appfile_test

import (
	"strings"
	"testing"
	"time"

	"overland/internal/appfile"
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
