package node

import (
	"strings"
	"testing"
)

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"channel":"live","sites":["https://10.0.0.1:8443#sha256:00"],"watch":["/media/*"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeConfig(strings.NewReader(string(b)))
		if err == nil && checkSettings(s) != nil {
			t.Error("settings that do not hold were taken")
		}
	})
}
