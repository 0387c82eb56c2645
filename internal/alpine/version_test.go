package alpine_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"overland/internal/alpine"
)

// TestVersionsInOrder: each word is newer than all before it, "=" between two means that they are the same.
func TestVersionsInOrder(t *testing.T) {
	for _, line := range []string{
		"0 0.1_alpha 0.1_alpha1 0.1_beta 0.1_pre2 0.1_rc3 0.1_rc3-r1 0.1 0.1_cvs 0.1_svn 0.1_git20240101 0.1_hg 0.1_p 0.1_p1 0.1b 0.1.1 0.2 0.10",
		"1.00.1 1.0-r0 1.0-r1 1.0-r9 1.0-r10 1.0.0 2",
		"1.001 1.01 1.1 1.2 1.10",
		"1.0_rc1_p1 1.0",
		"00 = 0", "1.0-r01 = 1.0-r1", "01.5 = 1.5",
		"9 99999999999999999998 99999999999999999999",
		"1.2 1.2a 1.2b 1.3", "1.2 1.2~0a1b", "1.2_rc~0a 1.2-r1",
	} {
		words := strings.Fields(line)
		if len(words) == 3 && words[1] == "=" {
			if alpine.CompareVersions(words[0], words[2]) != 0 || alpine.CompareVersions(words[2], words[0]) != 0 {
				t.Error(line)
			}
			continue
		}
		for i, a := range words {
			if !alpine.ValidVersion(a) {
				t.Errorf("%s is not a version", a)
			}
			for j, b := range words {
				if got, want := alpine.CompareVersions(a, b), cmp.Compare(i, j); got != want {
					t.Errorf("%s and %s: %d", a, b, got)
				}
			}
		}
		if !slices.IsSortedFunc(words, alpine.CompareVersions) {
			t.Error(line)
		}
	}
	for _, bad := range []string{"", "a", "1.", "1..2", "1_", "1_x", "1-r", "1-1", "1~", "1ab", "v1", "1.a", "1-r1-r2", "1 "} {
		if alpine.ValidVersion(bad) {
			t.Errorf("%q is a version", bad)
		}
	}
}

func TestDependenciesHold(t *testing.T) {
	for _, test := range []struct {
		word, yes, no string
	}{
		{"a", "1 2_rc 0", ""},
		{"a=1.2", "1.2", "1.2-r1 1.3"},
		{"a>1.2", "1.2-r1 1.3", "1.2 1.2_rc1"},
		{"a>=1.2", "1.2 1.3", "1.1"},
		{"a<1.2", "1.1 1.2_rc1", "1.2"},
		{"a<=1.2", "1.2 1.1", "1.3"},
		{"a~1.2", "1.2 1.2.9-r3 1.2-r1 1.2_rc1", "1.20 1.3 1"},
		{"a=~1.2", "1.2.1", "1.3"},
		{"a>~1.2", "1.2 1.2.1 1.3", "1.1"},
		{"so:a.so.1=1.0", "1.0", "1.1"},
	} {
		d, err := alpine.ParseDependency(test.word)
		if err != nil || d.String() != test.word {
			t.Errorf("%s is %s: %v", test.word, d, err)
		}
		for _, v := range strings.Fields(test.yes) {
			if !d.Holds(v) {
				t.Errorf("%s does not hold for %s", test.word, v)
			}
		}
		for _, v := range append(strings.Fields(test.no), "") {
			if d.Holds(v) != (d.Op == "") {
				t.Errorf("%s holds for %q", test.word, v)
			}
		}
	}
	if d, err := alpine.ParseDependency("!a>1"); err != nil || !d.Not || d.Name != "a" || d.String() != "!a>1" {
		t.Errorf("%+v %v", d, err)
	}
	for _, bad := range []string{"", "!", "a=", "a==1", "a><Q1x", "=1", "a=x", "!!a", "a b"} {
		if d, err := alpine.ParseDependency(bad); err == nil {
			t.Errorf("%q is %+v", bad, d)
		}
	}
}
