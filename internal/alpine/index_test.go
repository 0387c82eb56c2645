package alpine

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseIndex(t *testing.T) {
	const sum = "C:Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA="
	got, err := parseIndex(strings.NewReader(sum + "\nP:a\nV:1\nS:3\nx:y\n\n\nP:md5\nV:1\nC:d41d8cd98f00b204e9800998ecf8427e\nS:1\n\n" + sum + "\nP:b\nV:2\nS:4"))
	if want := map[string]Package{"a-1.apk": {Size: 3}, "b-2.apk": {Size: 4}}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	same := sum + "\nP:a\nV:1\nS:3\n\n"
	if got, err := parseIndex(strings.NewReader(same + same)); err != nil || len(got) != 1 {
		t.Errorf("the same twice: %v, %v", got, err)
	}
	for _, bad := range []string{
		"x", sum + "\nP:a\nS:1\n", sum + "\nP:" + strings.Repeat("a", 250) + "\nV:1\nS:1\n",
		"hello", sum + "\nP:a\nV:1\nS:-1\n", sum + "\nP:a\nV:1\nS:x\n", "C:Q1AAAA\nP:a\nV:1\nS:1\n", "C:Q1!\nP:a\nV:1\nS:1\n", sum + "\nP:../a\nV:1\nS:1\n",
		sum + "\nV:1\nS:1\n", "P:a\nP:b\n", sum + "\nP:a\nV:1\nS:1\n\n" + sum + "\nP:a\nV:1\nS:2\n", "D:" + strings.Repeat("x", lineLimit),
	} {
		if got, err := parseIndex(strings.NewReader(bad)); err == nil {
			t.Errorf("%.60q: %v", bad, got)
		}
	}
}
