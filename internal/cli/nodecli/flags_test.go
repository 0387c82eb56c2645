package nodecli

import (
	"testing"
)

func TestFlagsStandAnywhere(t *testing.T) {
	for _, v := range verbs() {
		if v.name != "logs" {
			continue
		}
		for _, args := range [][]string{{"a.b", "-n", "5", "-f"}, {"-n", "5", "a.b", "-f"}, {"-f", "-n=5", "a.b"}} {
			c, rest, err := parse(v, args)
			if err != nil || c.lines != 5 || !c.follow || len(rest) != 1 || rest[0] != "a.b" {
				t.Errorf("parse(%q) = %+v, %q, %v", args, c, rest, err)
			}
		}
	}
}
