package operator_test

import (
	"os/exec"
	"strings"
	"testing"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/platform"
	"overland/internal/release"
)

// The files of services are read from the commit, and are artifacts of its release.
func TestFilesOfServices(t *testing.T) {
	dir := t.TempDir()
	script := `mkdir deploy && echo of the commit >deploy/app.ini && ln -s app.ini deploy/link && : >deploy/empty && echo "version https://git-lfs.github.com/spec/v1" >deploy/lfs
printf 'overland: 1\nname: a\nartifacts: {a: {go: .}, b: {go: ./b, platforms: [linux/amd64]}}\nservices:\n  a: {artifact: a, files: {conf: deploy/app.ini}}\n  b: {artifact: b, files: {conf: deploy/app.ini, own: deploy/NAME}}\n' >overland.yaml
git init -q && git add -A && git -c user.name=t -c user.email=t@example.org commit -qm one && echo of the folder >deploy/app.ini`
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	load := func(o operator.SourceOptions) *operator.Source {
		o.Dir = dir
		src, err := operator.LoadSource(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
	src := load(operator.SourceOptions{Rev: "HEAD"})
	for path, kind := range map[string]errs.Kind{"NAME": errs.NotFound, "link": errs.Invalid, "empty": errs.Invalid, "lfs": errs.Invalid} {
		src.App.Services["b"].Files["own"] = "deploy/" + path
		if _, err := operator.Files(src, t.Context()); errs.KindOf(err) != kind || errs.HintOf(err) == "" || !strings.Contains(err.Error(), "service b: files: own: ") {
			t.Errorf("%s: %v", path, err)
		}
	}
	delete(src.App.Services["b"].Files, "own")
	p := begin(t)
	made := []builder.Built{{Name: "a", Platform: "linux/arm/v6", File: "a"}, {Name: "a", Platform: "linux/amd64", File: "a"}, {Name: "b", Platform: "linux/amd64", File: "b"}}
	for text, src := range map[string]*operator.Source{"of the commit\n": src, "of the folder\n": load(operator.SourceOptions{Dirty: true})} {
		delete(src.App.Services["b"].Files, "own")
		files, err := operator.Files(src, t.Context())
		if err != nil {
			t.Fatal(err)
		}
		list, err := operator.AddFiles(p, t.Context(), files, made)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range list[len(made):] {
			if one.Whole() != int64(len(text)) {
				t.Errorf("%s for %s: %d bytes are shown", one.Name, one.Platform, one.Whole())
			}
		}
		b := operator.Built{Ref: release.Ref{App: "a", Version: src.Commit.Version}, Source: src, Programs: list}
		var on []platform.Platform
		for _, a := range b.Release().Artifacts[len(made):] {
			on = append(on, a.Platform)
			if got, err := p.Depot().Bytes(t.Context(), a.Blob.Digest, appfile.MaxFile); err != nil || string(got) != text || a.Kind != release.KindFile || a.Name != "conf" || a.File != "app.ini" {
				t.Errorf("%+v holds %q, %v", a, got, err)
			}
		}
		if len(on) != 2 || on[0] != "linux/amd64" || on[1] != "linux/arm/v6" {
			t.Errorf("for %q", on)
		}
	}
}
