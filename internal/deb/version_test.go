package deb

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

// TestVersionsAreDpkgs compares the order of versions with dpkg's, all pairs in one shell.
func TestVersionsAreDpkgs(t *testing.T) {
	fixed := []string{
		"0", "1", "1.0", "1.0-1", "1.0-1+b9", "1.0~rc1-1", "1.0~", "1.0~~", "1:0.5", "0:1.0", "1.0+dfsg-1", "1.0.dfsg-1", "1.00", "1.0-0", "2", "10",
		"1.0a", "1.0A", "1.0-1~deb13u1", "1.0-1+deb13u1", "1a", "1+", "1~", "5.2.15-2+b8",
	}
	random := rand.New(rand.NewPCG(7, 0))
	letter := func() byte { return "019aZ.+~-"[random.IntN(9)] }
	for range 40 {
		b := []byte{'0' + byte(random.IntN(3))}
		for range random.IntN(6) {
			b = append(b, letter())
		}
		fixed = append(fixed, strings.TrimRight(string(b), "-")) // dpkg wants a revision after a hyphen
	}
	var script strings.Builder
	var pairs [][2]string
	for range 120 {
		a, b := fixed[random.IntN(len(fixed))], fixed[random.IntN(len(fixed))]
		pairs = append(pairs, [2]string{a, b})
		fmt.Fprintf(&script, "dpkg --compare-versions '%s' lt '%s' && echo -1 || { dpkg --compare-versions '%s' eq '%s' && echo 0 || echo 1; }\n", a, b, a, b)
	}
	c := exec.CommandContext(t.Context(), "sh")
	c.Stdin = strings.NewReader(script.String())
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Fields(string(out))
	if len(answers) != len(pairs) {
		t.Fatalf("%d answers of %d", len(answers), len(pairs))
	}
	for i, p := range pairs {
		if got := fmt.Sprint(CompareVersions(p[0], p[1])); got != answers[i] {
			t.Errorf("%s and %s: %s, dpkg says %s", p[0], p[1], got, answers[i])
		}
	}
}

func TestRelations(t *testing.T) {
	for field, want := range map[string]string{
		"":                                      "[]",
		"a":                                     "[a]",
		"a (>= 1:2-3), b | c:any (<< 2) ,d(=1)": "[a (>= 1:2-3) b | c:any (<< 2) d (= 1)]",
		"a (< 1), b (> 1),":                     "[a (<= 1) b (>= 1)]",
		"a (>= 1":                               "invalid",
		"a (1)":                                 "invalid",
		"a (>= )":                               "invalid",
		"a (>= 1 2)":                            "invalid",
		"a (=> 1)":                              "invalid",
		"a b":                                   "invalid",
		"a,,b":                                  "invalid",
		"a [amd64]":                             "invalid",
		"../a":                                  "invalid",
		strings.Repeat("a,", relationLimit+1):   "invalid",
		strings.Repeat("a|", relationLimit) + "a": "invalid",
	} {
		got := "invalid"
		if list, err := ParseRelations(field); err == nil {
			got = fmt.Sprint(list)
		}
		if got != want {
			t.Errorf("%.50q: %s", field, got)
		}
	}
}

func TestReadPackages(t *testing.T) {
	sum := strings.Repeat("0", 64)
	good := "Package: a\nVersion: 1\nArchitecture: all\nSource: b (2)\nEssential: yes\nMulti-Arch: no\nDepends: c\nFilename: pool/a.deb\nSize: 3\nSHA256: " + sum + "\n"
	var got []Package
	err := ReadPackages(strings.NewReader(good+"\n"+good), func(p *Package) error { got = append(got, *p); return nil })
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	p := got[0]
	if p.Name != "a" || p.Source != "b" || !p.Essential || p.MultiArch != "" || fmt.Sprint(p.Depends) != "[c]" || p.File != (File{Size: 3, SHA256: sum}) {
		t.Errorf("%+v", p)
	}
	for old, bad := range map[string]string{
		"Package: a": "Package: a/b", "Version: 1": "Version: ", "pool/a.deb": "../a.deb", "Size: 3": "Size: -3", sum: "x", "Depends: c": "Depends: c (",
	} {
		if err := ReadPackages(strings.NewReader(strings.Replace(good, old, bad, 1)), func(*Package) error { return nil }); err == nil {
			t.Errorf("%s: taken", bad)
		}
	}
}
