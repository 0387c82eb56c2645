package golang

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"overland/internal/builder"
	"overland/internal/platform"
)

// counting counts what a Builder is asked to do.
type counting struct {
	builder.Builder
	builds int
}

func (c *counting) Build(ctx context.Context, j builder.Job, r builder.Recipe, src, scratch string) (builder.Output, error) {
	c.builds++
	return c.Builder.Build(ctx, j, r, src, scratch)
}

// TestFivePlatforms builds for all of them with a cold compiler
// cache, which is then the shared one.
func TestFivePlatforms(t *testing.T) {
	w := newSite(t, t.TempDir(), sharedCache(t))
	counted := &counting{Builder: w.Builders["go"]}
	w.Builders["go"] = counted
	dir := commit(t, nil)
	built, err := w.build(t.Context(), dir, greeter)
	if err != nil {
		t.Fatal(err)
	}
	if len(built) != 5 || counted.builds != 5 {
		t.Fatalf("%d builds, got %+v", counted.builds, built)
	}
	want := map[platform.Platform]struct {
		machine elf.Machine
		class   elf.Class
		setting string
	}{
		"linux/amd64":  {elf.EM_X86_64, elf.ELFCLASS64, "GOAMD64=v1"},
		"linux/arm/v5": {elf.EM_ARM, elf.ELFCLASS32, "GOARM=5"},
		"linux/arm/v6": {elf.EM_ARM, elf.ELFCLASS32, "GOARM=6"},
		"linux/arm/v7": {elf.EM_ARM, elf.ELFCLASS32, "GOARM=7"},
		"linux/arm64":  {elf.EM_AARCH64, elf.ELFCLASS64, "GOARM64=v8.0"},
	}
	for _, b := range built {
		program := w.program(t, b)
		f, err := elf.Open(program)
		if err != nil {
			t.Fatal(err)
		}
		libs, _ := f.ImportedLibraries()
		if f.Machine != want[b.Platform].machine || f.Class != want[b.Platform].class || len(libs) > 0 {
			t.Errorf("%s: machine %v, class %v, libraries %v", b.Platform, f.Machine, f.Class, libs)
		}
		f.Close()
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		var settings []string
		for _, s := range info.Settings {
			settings = append(settings, s.Key+"="+s.Value)
		}
		all := strings.Join(settings, " ")
		if !strings.Contains(all+" ", want[b.Platform].setting+" ") || !strings.Contains(all, "CGO_ENABLED=0") || strings.Contains(all, "vcs") {
			t.Errorf("%s: settings %s", b.Platform, all)
		}
		if info.GoVersion != b.Toolchain || len(info.Deps) != 1 || info.Deps[0].Path != "golang.org/x/text" {
			t.Errorf("%s: %s, dependencies %+v", b.Platform, info.GoVersion, info.Deps)
		}
		content, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		for _, trace := range []string{w.dir, shared, os.TempDir() + "/", "/pkg/mod/"} {
			if bytes.Contains(content, []byte(trace)) {
				t.Errorf("%s: the program holds %q of this machine", b.Platform, trace)
			}
		}
	}

	w.steps()
	warm, err := w.build(t.Context(), dir, greeter)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.steps(); counted.builds != 5 || got != "cached cached cached cached cached" {
		t.Errorf("warm: %d builds, steps %s", counted.builds-5, got)
	}
	for i := range warm {
		if !warm[i].Cached || warm[i].Digest != built[i].Digest {
			t.Errorf("warm: %+v, cold %+v", warm[i], built[i])
		}
	}
}

// TestAnotherUserAnotherFolder builds the same commit as another user, who shares nothing with this
// one but what the module proxy gives: own home, own caches, own folder.
func TestAnotherUserAnotherFolder(t *testing.T) {
	dir := commit(t, nil)
	w := newSite(t, t.TempDir(), sharedCache(t))
	mine, err := w.build(t.Context(), dir, greeter, "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}

	theirs, err := os.MkdirTemp("", "overland-other-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := removeClosed(theirs); err != nil {
			t.Error(err)
		}
	})
	repo := filepath.Join(theirs, "deeper", "down", "repo")
	git(t, theirs, "clone", "-q", dir, repo)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copyFile(t, self, filepath.Join(theirs, "helper"))
	copyProxy(t, filepath.Join(theirs, "proxy"))
	cmd := exec.Command(filepath.Join(theirs, "helper"))
	cmd.Dir = theirs
	cmd.Env = []string{
		helperVar + "=" + repo, "PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(theirs, "home"),
		"TMPDIR=" + theirs, "GOFLAGS=-race -tags=leak", "GOPROXY=file://" + filepath.Join(theirs, "proxy"), "GOSUMDB=off", "CGO_ENABLED=1",
		"LANG=de_DE.UTF-8", "TZ=Asia/Kolkata", "GOAMD64=v3", "GOEXPERIMENT=nojsonv2", "GOTOOLCHAIN=auto",
	}
	const nobody = 65534
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if out, err := exec.Command("chown", "-R", "65534:65534", theirs).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	} else { // another user is what the program sees in its own namespace
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getgid(), Size: 1}},
		}
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("as another user: %v\n%s", err, said.Bytes())
	}
	var got helperResult
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got.UID != nobody || got.Built.Cached {
		t.Errorf("the helper ran as %d: %+v", got.UID, got.Built)
	}
	if got.Built.Digest != mine[0].Digest || got.Built.Size != mine[0].Size {
		t.Errorf("another user made %s (%d bytes), this one %s (%d bytes)", got.Built.Digest, got.Built.Size, mine[0].Digest, mine[0].Size)
	}
}

// copyProxy makes dir a module proxy that has what the test's module needs,
// out of this user's module cache.
func copyProxy(t *testing.T, dir string) {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(strings.TrimSpace(string(out)), "cache", "download")
	for _, pattern := range []string{"golang.org/toolchain/@v/v0.0.1-go1.26.8.*", "golang.org/x/text/@v/v0.41.0.*"} {
		list, err := filepath.Glob(filepath.Join(from, pattern))
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: nothing there (%v)", pattern, err)
		}
		for _, file := range list {
			if ext := filepath.Ext(file); ext == ".info" || ext == ".mod" || ext == ".zip" {
				name, _ := filepath.Rel(from, file)
				copyFile(t, file, filepath.Join(dir, name))
			}
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

// removeClosed removes dir with the read-only folders that a module cache is made of.
func removeClosed(dir string) error {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	return os.RemoveAll(dir)
}
