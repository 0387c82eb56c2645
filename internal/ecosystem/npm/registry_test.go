package npm_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"overland/internal/ecosystem/npm"
	"overland/internal/testkit/recording"
)

// npm ci asks for the tarball alone: what proves it is asked for with the login too.
func TestARegistryAsksWhoOneIs(t *testing.T) {
	s := newSession(t)
	open := s.registry.ServeHTTP
	guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t0ken" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		open(w, r)
	}))
	defer guarded.Close()
	login := func(host string) {
		var err error
		logins := npm.Logins{strings.TrimPrefix(host, "http:") + "/reg/:_authToken": "t0ken"}
		if s.protocol, err = npm.New(npm.Config{Registry: guarded.URL + "/reg", Logins: logins}, s); err != nil {
			t.Fatal(err)
		}
	}
	login(s.url)
	if _, _, err := s.fetch("/tea/-/tea-1.0.0.tgz"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("the login of another host: %v", err)
	}
	login(guarded.URL)
	s.recorder = recording.Recorder(t, s.store, nil)
	for _, path := range []string{"/tea/-/tea-1.0.0.tgz", "/tea"} {
		if _, _, err := s.fetch(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
