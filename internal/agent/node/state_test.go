package node

import (
	"bytes"
	"testing"
)

func FuzzState(f *testing.F) {
	b, err := encodeState(7, State{Schema: 1, Current: 1, Good: 1, Next: 3, Intent: &Intent{Generation: 2, From: 1, Tries: 2}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("overland-node-state 1 1 2 00\n{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		seq, s, err := decodeState(bytes.NewReader(b))
		if err != nil {
			return
		}
		again, err := encodeState(seq, s)
		if err != nil {
			t.Fatal(err)
		}
		seq2, s2, err := decodeState(bytes.NewReader(again))
		if err != nil || seq2 != seq || !same(s, s2) {
			t.Errorf("a state that was read does not come back: %v\n%+v\n%+v", err, s, s2)
		}
	})
}
