package appfile_test

import (
	"encoding/json"
	"testing"
	"time"

	"overland/internal/appfile"
)

func TestDurationIsTextInJSON(t *testing.T) {
	var c appfile.Check
	if err := json.Unmarshal([]byte(`{"tcp":"127.0.0.1:1","within":"1m30s"}`), &c); err != nil {
		t.Fatal(err)
	}
	if got := c.Within.Or(time.Second); got != 90*time.Second {
		t.Errorf("got %v", got)
	}
	b, err := json.Marshal(c)
	if err != nil || string(b) != `{"tcp":"127.0.0.1:1","within":"1m30s"}` {
		t.Errorf("%s, %v", b, err)
	}
	if got := appfile.Duration(0).Or(time.Second); got != time.Second {
		t.Errorf("zero gives %v", got)
	}
}

func TestDurationRefusesNonsense(t *testing.T) {
	for _, s := range []string{`"-1s"`, `"10"`, `5`, `"9000h0m0s9000h"`, `"x"`} {
		var d appfile.Duration
		if err := json.Unmarshal([]byte(s), &d); err == nil {
			t.Errorf("%s was read as %v", s, d)
		}
	}
}
