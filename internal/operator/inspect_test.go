package operator_test

import (
	"os"
	"testing"

	"overland/internal/errs"
	"overland/internal/operator"
)

// Whoever asks for a release in somebody else's checkout is not shown a file there that has its name.
func TestAFileOfACheckoutIsNotARelease(t *testing.T) {
	p := begin(t)
	ref := publish(t, p, "wallet", "r4.abcdef012345", "linux/amd64")
	t.Chdir(t.TempDir())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{ref.String(), "other@r1.abcdef012345"} {
		if err := os.Symlink(self, name); err != nil {
			t.Fatal(err)
		}
	}
	for what, kind := range map[string]string{ref.String(): "release", "./" + ref.String(): "file", "other@r1.abcdef012345": "file"} {
		if in, err := p.Inspect(t.Context(), what); err != nil || in.Kind != kind {
			t.Errorf("%s: %+v, %v, want a %s", what, in, err, kind)
		}
	}
	var none *operator.Operator
	for _, what := range []string{ref.String(), "./" + ref.String()} {
		if in, err := none.Inspect(t.Context(), what); err != nil || in.Kind != "file" {
			t.Errorf("without a site: %s: %+v, %v, want a file", what, in, err)
		}
	}
	if _, err := none.Inspect(t.Context(), "wallet@r5.abcdef012345"); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("without a site: %v", err)
	}
	if c, err := p.Diff(t.Context(), [2]string{ref.String(), "./" + ref.String()}, operator.FileOptions{}); err != nil || c.Same {
		t.Errorf("a release and a file that is called like it are the same to diff: %+v, %v", c, err)
	}
}
