package golang

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"overland/internal/builder"
	"overland/internal/errs"
	"overland/internal/platform"
	"overland/internal/source"
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
		"example.invalid/x@v1.0.0: reading https://proxy.example/x: 400 Bad Request":                                        {errs.NotFound, "GOPRIVATE"},
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

// A package of the module itself is not something that go mod tidy brings.
func TestAFolderThatIsNotInTheCommit(t *testing.T) {
	c := compile{src: t.TempDir(), settings: settings{Package: ".", Dir: "backend"}}
	if err := os.MkdirAll(c.dir(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir(), "go.mod"), []byte("module example.org/shop\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for said, want := range map[string]string{
		"main.go:2:8: no required module provides package example.org/shop/web/dist; to add it:\n\tgo get example.org/shop/web/dist": "web/dist is of this module",
		"main.go:2:8: no required module provides package example.org/shopping; to add it:\n\tgo get example.org/shopping":           "go mod tidy",
	} {
		if err := c.notListed(said); errs.KindOf(err) != errs.Invalid || !strings.Contains(errs.HintOf(err), want) {
			t.Errorf("%s: %v (hint %q), want %q", said, err, errs.HintOf(err), want)
		}
	}
	c.job.Left = []source.Left{{Path: "backend/web/dist/x.go", Kind: source.OutsideLink}}
	said := "main.go:2:8: no required module provides package example.org/shop/web/dist; to add it:\n\tgo get x"
	if err := c.notListed(said); err == nil || !strings.Contains(err.Error(), "web/dist/x.go") {
		t.Errorf("behind a link: %v", err)
	}
}

// What a person is told to run shows what this build has shown: without cgo, in the module's folder, for the
// platform.
func TestTheSameIsShown(t *testing.T) {
	for _, test := range []struct {
		dir  string
		p    platform.Platform
		want string
	}{
		{"", platform.Platform("linux/" + runtime.GOARCH), "CGO_ENABLED=0 go build ./x"},
		{"backend", "linux/arm/v5", "CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=5 go build -C backend ./x"},
	} {
		c := compile{settings: settings{Package: "./x", Dir: test.dir}, job: builder.Job{Platform: test.p}}
		if got := c.same(); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
}
