package agent

import (
	"strings"
	"testing"

	"overland/internal/errs"
)

func FuzzControl(f *testing.F) {
	f.Add([]byte(`{"op":"status"}`))
	f.Add([]byte(`{"op":"install","source":"/a.volume","install":{"root":"sha256:00"}}`))
	f.Add([]byte(`{"op":"rollback","generation":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readRequest(strings.NewReader(string(b)))
		if err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("kind %s of %v", errs.KindOf(err), err)
		}
		if err == nil && q.Op == "" {
			t.Error("a request without a verb")
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"channel":"live","sites":["https://10.0.0.1:8443#sha256:00"],"watch":["/media/*"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeConfig(strings.NewReader(string(b)))
		if err == nil && checkSettings(s) != nil {
			t.Error("settings that do not hold were taken")
		}
	})
}
