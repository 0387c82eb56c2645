package process

import (
	"encoding/json"
	"testing"
)

func FuzzRecord(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := parseRecord(b)
		if !ok {
			return
		}
		if r.PID == 1 || r.PID < 0 || r.LogStart < 0 {
			t.Errorf("accepted %+v", r)
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := parseRecord(again); !ok || s.Run != r.Run || s.PID != r.PID {
			t.Errorf("%+v became %+v", r, s)
		}
	})
}
