package appfile_test

import (
	"encoding/json"
	"net/netip"
	"testing"

	"overland/internal/appfile"
)

func TestPortsAreReadAndWrittenAlike(t *testing.T) {
	for text, want := range map[string]string{
		"80": "80", "53/udp": "53/udp", "80/tcp": "80", "127.0.0.1:80": "127.0.0.1:80", "[::1]:53/udp": "[::1]:53/udp",
		"[::]:80": "80", "0.0.0.0:80": "0.0.0.0:80", "[::ffff:127.0.0.1]:80": "127.0.0.1:80",
		"": "", "0": "", "65536": "", "080": "", "+80": "", "80/": "", "80/sctp": "", "web:80": "", "::1:80": "", "[127.0.0.1]:80": "",
		"[fe80::1%eth0]:80": "", ":80": "", "80/tcp/udp": "",
	} {
		p, err := appfile.ParsePort(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q is read as %s", text, p)
			}
			continue
		}
		if err != nil || p.String() != want {
			t.Errorf("%q: got %s, %v, want %s", text, p, err, want)
		}
		b, err := json.Marshal(p)
		var again appfile.Port
		if err != nil || json.Unmarshal(b, &again) != nil || again != p {
			t.Errorf("%s is written as %s, and read as %s, %v", p, b, again, err)
		}
	}
	// What an agent from before reads of a port that has no more than a number.
	if b, err := json.Marshal([]appfile.Port{{Number: 80}}); err != nil || string(b) != "[80]" {
		t.Errorf("%s, %v", b, err)
	}
	for _, text := range []string{`null`, `{}`, `"x"`, `-1`, `8e1`, `"80`} {
		if err := new(appfile.Port).UnmarshalJSON([]byte(text)); err == nil && text != `"80` {
			t.Errorf("%s is a port", text)
		}
	}
}

func TestWhichPortsCollide(t *testing.T) {
	parse := func(s string) appfile.Port {
		p, err := appfile.ParsePort(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"80", "80", true},
		{"80", "81", false},
		{"80", "80/udp", false},
		{"80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "127.0.0.2:80", false},
		{"127.0.0.1:80", "[::1]:80", false},
		{"0.0.0.0:80", "127.0.0.1:80", true},
		{"0.0.0.0:80", "[::1]:80", false},
		{"0.0.0.0:80", "80", true},
	} {
		a, b := parse(test.a), parse(test.b)
		if a.Collides(b) != test.want || b.Collides(a) != test.want {
			t.Errorf("%s and %s: want %v", test.a, test.b, test.want)
		}
	}
	if p := parse("127.0.0.1:80"); !p.Covers(netip.MustParseAddr("::")) || !p.Covers(netip.MustParseAddr("::ffff:127.0.0.1")) || p.Covers(netip.MustParseAddr("10.0.0.1")) {
		t.Error("what listens on every address listens on this one too")
	}
}
