package golang

import (
	"strings"
	"testing"

	"overland/internal/errs"
)

// The reason is not pushed out of sight by what was downloaded before it, and decides kind and hint.
func TestTheReasonIsSeen(t *testing.T) {
	c := compile{src: "/site/src"}
	chatter := strings.Repeat("go: downloading example.org/lib v1.0.0\n", maxLines+1)
	for said, want := range map[string]struct {
		kind errs.Kind
		hint string
	}{
		"example.org/x@v1.0.0: Get \"https://proxy.example/x\": 503 Service Unavailable":                                    {errs.Unavailable, "go env GOPROXY"},
		"git ls-remote: fatal: could not read Username for 'https://git.example.org': terminal prompts disabled":            {errs.Denied, "GOPRIVATE"},
		"example.org/x@v1.0.0: reading https://proxy.example/x: 404 Not Found":                                              {errs.NotFound, "GOPRIVATE"},
		"main.go:4:2: missing go.sum entry for module providing package example.org/lib; to add:\n\tgo get example.org/lib": {errs.Invalid, "go mod tidy"},
		"go: inconsistent vendoring in /site/src:\n\texample.org/lib@v1.0.0: is explicitly required in go.mod":              {errs.Invalid, "go mod vendor"},
		"web/e.go:5:12: pattern dist: no matching files found":                                                              {errs.Invalid, "--dirty"},
		"main.go:9:2: example.org/lib@v1.0.0 (replaced by ../lib): reading ../lib/go.mod: open ../lib/go.mod: no such file": {errs.Invalid, "replace"},
		"package example.org/x: build constraints exclude all Go files in /root/go/pkg/mod/example.org/x@v1.0.0":            {errs.Invalid, "cgo"},
		"go: go.mod requires go >= 1.99 (running go 1.26.8; GOTOOLCHAIN=local)":                                             {errs.Invalid, "toolchain"},
	} {
		err := notFetched("modules of .", c.tidy(chatter+said))
		first, _, _ := strings.Cut(said, "\n")
		if errs.KindOf(err) != want.kind || !strings.Contains(errs.HintOf(err), want.hint) ||
			!strings.Contains(err.Error(), strings.ReplaceAll(first, "/site/src", "the commit")) || strings.Contains(err.Error(), "downloading") {
			t.Errorf("%s\n%v: %v (hint %q), want %v, %q", said, errs.KindOf(err), err, errs.HintOf(err), want.kind, want.hint)
		}
	}
	if got := c.tidy("go: downloading x v1\n"); got == "" {
		t.Error("nothing but chatter is dropped whole")
	}
}
