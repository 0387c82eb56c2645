package sysinfo

import (
	"strings"
	"testing"
)

func TestReleases(t *testing.T) {
	for text, want := range map[string]release{
		"ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n":          {"debian", "12", "bookworm"},
		"ID=debian\nVERSION_ID='7.0'\nVERSION='7.0 (wheezy)'\n":              {"debian", "7", "wheezy"},
		"ID=raspbian\nVERSION_ID=\"11\"\nVERSION_CODENAME=bullseye\n":        {"debian", "11", "bullseye"},
		"ID=debian\nVERSION_CODENAME=trixie\n":                               {"debian", "trixie", "trixie"},
		"# x\nID=Ubuntu\nVERSION_ID=\"22.04\"\nUBUNTU_CODENAME=jammy\n":      {"ubuntu", "22.04", "jammy"},
		"ID=alpine\nVERSION_ID=3.19.1\n":                                     {"alpine", "3.19.1", ""},
		"ID=arch\nBUILD_ID=rolling\n":                                        {"arch", "rolling", ""},
		"ID=\"a\\\"b\"\r\nVERSION_ID=\"1\"\nVERSION=\"1 (2)\"\nnothing\n=\n": {`a"b`, "1", ""},
		"": {},
	} {
		if got := parseRelease(text); got != want {
			t.Errorf("%q: got %+v, want %+v", text, got, want)
		}
	}
}

func FuzzRelease(f *testing.F) {
	f.Add("ID=debian\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\n")
	f.Add("ID='\nVERSION_ID=\"\\\"")
	f.Fuzz(func(t *testing.T, text string) {
		r := parseRelease(text)
		if strings.ContainsAny(r.id+r.version+r.codename, "\n") {
			t.Errorf("a line end in %+v", r)
		}
	})
}
