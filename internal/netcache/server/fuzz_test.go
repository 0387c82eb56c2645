package server

import (
	"testing"

	"overland/internal/netcache"
)

func FuzzRecords(f *testing.F) {
	line, err := RecordOf("k", "x").line()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add(append(append([]byte{}, line...), line[:20]...))
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list := records(b, "k")
		for _, r := range list {
			if _, err := netcache.NewEntry(r.Metadata, r.Signature); err != nil || r.Key != "k" {
				t.Errorf("served %q: %v", r.Metadata, err)
			}
		}
		whole, err := lines(list)
		if err != nil || len(records(whole, "k")) != len(list) {
			t.Errorf("%d records, then %d: %v", len(list), len(records(whole, "k")), err)
		}
	})
}
