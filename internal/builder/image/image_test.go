package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"overland/internal/appfile/yamlfile"
	"overland/internal/archive"
	"overland/internal/builder"
	"overland/internal/builder/image"
	"overland/internal/digest"
	"overland/internal/errs"
	layers "overland/internal/image"
	"overland/internal/platform"
	"overland/internal/source"
	storedir "overland/internal/store/dir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// given is a Builder whose results are given, by the names of artifacts.
type given map[string][]byte

func (given) Recipe(_ context.Context, j builder.Job) (builder.Recipe, error) {
	return builder.Recipe{Builder: "given/1", Toolchain: "none", Settings: j.Name}, nil
}

func (g given) Build(_ context.Context, j builder.Job, r builder.Recipe, _, scratch string) (builder.Output, error) {
	b, ok := g[j.Name]
	if !ok {
		return builder.Output{}, errors.New("nothing is given")
	}
	file := filepath.Join(scratch, "it")
	return builder.Output{File: file, Data: j.Name == "root", Toolchain: r.Toolchain}, os.WriteFile(file, b, 0o600)
}

// bench is a depot with a repository, whose overland.yaml says which image is made.
type bench struct {
	t     *testing.T
	dir   string
	depot *storedir.Store
	repo  string
	given given
	args  image.Given
}

func newBench(t *testing.T, files map[string]string) *bench {
	t.Helper()
	dir := t.TempDir()
	d, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: dir, depot: d, repo: t.TempDir(), given: given{"wallet": bytes.Repeat([]byte("program "), 5000), "root": rootTar(t)}}
	b.git("init", "-q", "-b", "main")
	b.commit(files)
	return b
}

// rootTar returns a small root file system.
func rootTar(t *testing.T) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, text := range map[string]string{"etc/os-release": "ID=debian\n"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (b *bench) git(args ...string) {
	b.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", existing(b.repo), "-c", "user.name=a", "-c", "user.email=a@localhost"}, args...)...)
	cmd.Env = append(cmd.Environ(), "GIT_COMMITTER_DATE=2026-03-01T12:00:00Z", "GIT_AUTHOR_DATE=2026-03-01T12:00:00Z")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func (b *bench) commit(files map[string]string) {
	b.t.Helper()
	for name, text := range files {
		path := filepath.Join(b.repo, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.t.Fatal(err)
		}
		to, link := strings.CutPrefix(text, "-> ")
		var err error
		if link {
			err = os.Symlink(to, path)
		} else {
			mode := os.FileMode(0o600)
			if strings.HasPrefix(text, "#!") {
				mode = 0o700
			}
			err = os.WriteFile(path, []byte(text), mode)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	b.git("add", "-A")
	b.git("commit", "-q", "--allow-empty", "-m", "x")
}

// build builds the artifact image, which text says, for platforms.
func (b *bench) build(text string, platforms ...platform.Platform) ([]builder.Built, error) {
	b.t.Helper()
	whole := "overland: 1\nname: app\nartifacts:\n  root: {given: r}\n  wallet: {given: w}\n  image:\n    image:\n" + text
	key := yamlfile.Builder{Key: "given", Read: func(*yamlfile.Decoder, yamlfile.Node) any { return "" }}
	app, err := yamlfile.Format{Builders: []yamlfile.Builder{key, image.Keys()}, Runtimes: []yamlfile.Runtime{{Name: "process"}}}.Parse([]byte(whole), "f.yaml")
	if err != nil {
		return nil, err
	}
	if app.Artifacts, err = b.args.Apply(app.Artifacts); err != nil {
		return nil, err
	}
	repo, err := source.Open(b.t.Context(), b.repo)
	if err != nil {
		b.t.Fatal(err)
	}
	c, err := repo.Resolve(b.t.Context(), "")
	if err != nil {
		b.t.Fatal(err)
	}
	return builder.Run(b.t.Context(), b.depot, builder.Request{
		Repo: repo, Commit: c, App: app, Artifacts: []string{"image"}, Platforms: platforms, Cache: filepath.Join(b.dir, "cache"),
		Builders: map[string]builder.Builder{"given": b.given, "image": image.New(image.Options{Store: b.depot, Cache: filepath.Join(b.dir, "layers")})},
	})
}

// must builds for linux/arm/v6, and returns the config and what each layer holds, one line a member.
func (b *bench) must(text string) (*ocispec.Image, []ocispec.Descriptor, []string) {
	b.t.Helper()
	built, err := b.build(text, "linux/arm/v6")
	if err != nil {
		b.t.Fatal(err)
	}
	whole := built[0].Size
	for _, d := range built[0].Parts {
		n, err := b.depot.Stat(b.t.Context(), d)
		if err != nil {
			b.t.Fatal(err)
		}
		whole += n
	}
	if !built[0].Image || !built[0].Data || built[0].Whole() != whole {
		b.t.Errorf("%+v", built[0])
	}
	c, list, err := layers.Read(b.t.Context(), b.depot, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: built[0].Digest, Size: built[0].Size})
	if err != nil {
		b.t.Fatal(err)
	}
	var all []string
	for _, l := range list {
		all = append(all, b.list(l.Digest))
	}
	return c, list, all
}

// text returns what the layer d has under name.
func (b *bench) text(d digest.Digest, name string) string {
	b.t.Helper()
	f, err := b.depot.Open(b.t.Context(), d)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	z, done, err := archive.Unpacked(f)
	if err != nil {
		b.t.Fatal(err)
	}
	defer done()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err != nil {
			b.t.Fatal(err)
		}
		if h.Name == name {
			text, _ := io.ReadAll(r)
			return string(text)
		}
	}
}

func (b *bench) list(d digest.Digest) string {
	b.t.Helper()
	f, err := b.depot.Open(b.t.Context(), d)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	z, done, err := archive.Unpacked(f)
	if err != nil {
		b.t.Fatal(err)
	}
	defer done()
	var out strings.Builder
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out.String()
		}
		if err != nil {
			b.t.Fatal(err)
		}
		text, _ := io.ReadAll(io.LimitReader(r, 12))
		if !h.ModTime.Equal(time.Unix(0, 0)) {
			b.t.Errorf("%s is of %s", h.Name, h.ModTime)
		}
		fmt.Fprintf(&out, "%s %o %d:%d %s%s\n", h.Name, h.Mode, h.Uid, h.Gid, text, h.Linkname)
	}
}

const whole = `      base: root
      files:
        /usr/bin/wallet: wallet
        /usr/bin/w: {artifact: wallet}
        /srv/own: {artifact: wallet, mode: "4750", owner: "7:8"}
        /etc/wallet: ./deploy
        /motd: {path: ./deploy/motd, mode: "0600", owner: "65532:65532"}
      entrypoint: [/usr/bin/wallet]
      command: [--port, 6420]
      user: 65532:65532
      env: {B: two words, A: "1"}
      workdir: /srv
      volumes: [/data, /wallet]
      ports: [6420, 53/udp]
      labels: {team: blue, org.opencontainers.image.title: mine}
      stop-signal: SIGINT
`

func TestAnImageIsWhatWasAskedFor(t *testing.T) {
	b := newBench(t, map[string]string{"deploy/motd": "hello", "deploy/bin/run": "#!x", "deploy/run": "-> bin/run", "other": "no"})
	c, _, all := b.must(whole)
	want := []string{
		"etc/os-release 644 0:0 ID=debian\n\n",
		"etc/ 755 0:0 \netc/wallet/ 755 0:0 \netc/wallet/bin/ 755 0:0 \netc/wallet/bin/run 755 0:0 #!x\netc/wallet/motd 644 0:0 hello\n" +
			"etc/wallet/run 777 0:0 bin/run\nmotd 600 65532:65532 hello\n",
		"srv/ 755 0:0 \nsrv/own 4750 7:8 program prog\nusr/ 755 0:0 \nusr/bin/ 755 0:0 \nusr/bin/w 755 0:0 program prog\nusr/bin/wallet 755 0:0 usr/bin/w\n",
	}
	if !slices.Equal(all, want) {
		t.Errorf("got %q\nwant %q", all, want)
	}
	got := fmt.Sprintf("%s %s %v %v %s %v %s %v %v %s %s %s", c.Architecture, c.Variant, c.Config.Entrypoint, c.Config.Cmd, c.Config.User, c.Config.Env,
		c.Config.WorkingDir, c.Config.Volumes, c.Config.ExposedPorts, c.Config.StopSignal, c.Config.Labels["team"], c.Config.Labels["org.opencontainers.image.title"])
	if want := "arm v6 [/usr/bin/wallet] [--port 6420] 65532:65532 [A=1 B=two words PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin]" +
		" /srv map[/data:{} /wallet:{}] map[53/udp:{} 6420/tcp:{}] SIGINT blue mine"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if at := c.Created; at == nil || at.Format(time.DateOnly) != "2026-03-01" || len(c.Config.Labels["org.opencontainers.image.revision"]) != 40 ||
		!strings.HasPrefix(c.Config.Labels["org.opencontainers.image.version"], "r1.") || c.Config.Labels["org.opencontainers.image.created"] != "2026-03-01T12:00:00Z" {
		t.Errorf("%v, %v", at, c.Config.Labels)
	}
	if len(c.History) != 3 || c.History[2].CreatedBy != "overland: artifact wallet" {
		t.Errorf("%+v", c.History)
	}
}

// A change of the program moves its layer alone, and a new commit none.
func TestWhatIsTheSameIsTheSameLayer(t *testing.T) {
	b := newBench(t, map[string]string{"deploy/motd": "hello"})
	_, one, _ := b.must(whole)
	b.commit(map[string]string{"other": "more"})
	_, two, _ := b.must(whole)
	b.given["wallet"] = []byte("another")
	b.commit(map[string]string{"more": "more"})
	_, three, _ := b.must(whole)
	for i := range one {
		if two[i].Digest != one[i].Digest || (three[i].Digest == one[i].Digest) != (i != 2) {
			t.Errorf("layer %d: %s, %s, %s", i, one[i].Digest, two[i].Digest, three[i].Digest)
		}
	}
}

// Another site, folder and umask give the same images.
func TestElsewhereItIsTheSame(t *testing.T) {
	here := newBench(t, map[string]string{"deploy/motd": "hello", "deploy/bin/run": "#!x"})
	one, err := here.build(whole, "linux/amd64", "linux/arm/v5")
	if err != nil {
		t.Fatal(err)
	}
	there := newBench(t, nil)
	there.given = here.given
	there.repo = filepath.Join(t.TempDir(), "another", "folder")
	there.git("clone", "-q", here.repo, there.repo)
	t.Chdir("/")
	defer syscall.Umask(syscall.Umask(0o077))
	two, err := there.build(whole, "linux/amd64", "linux/arm/v5")
	if err != nil {
		t.Fatal(err)
	}
	for i := range one {
		if one[i].Digest != two[i].Digest || two[i].Cached {
			t.Errorf("%s: %s, elsewhere %s", one[i].Platform, one[i].Digest, two[i].Digest)
		}
	}
}

// A base is packed once; a note that is wrong, or of a layer that is gone, is not believed.
func TestABaseIsPackedOnce(t *testing.T) {
	b := newBench(t, nil)
	_, one, _ := b.must("      base: root\n")
	note := filepath.Join(b.dir, "layers", digest.Of(b.given["root"]).Encoded()+".json")
	text, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := b.depot.Put(t.Context(), strings.NewReader("no layer"), "", -1)
	if err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func() error{
		"intact": func() error { return nil },
		"gone":   func() error { return b.depot.Remove(t.Context(), one[0].Digest) },
		"half":   func() error { return os.WriteFile(note, text[:20], 0o600) },
		"another layer": func() error {
			return os.WriteFile(note, bytes.ReplaceAll(text, []byte(one[0].Digest), []byte(other)), 0o600)
		},
		"no digest": func() error {
			return os.WriteFile(note, bytes.ReplaceAll(text, []byte(one[0].Digest), []byte("../x")), 0o600)
		},
		"of another tar": func() error {
			return os.WriteFile(note, bytes.ReplaceAll(text, []byte(digest.Of(b.given["root"])), []byte(other)), 0o600)
		},
		"packed otherwise": func() error {
			return os.WriteFile(note, bytes.ReplaceAll(text, []byte("overland-1"), []byte("overland-0")), 0o600)
		},
	} {
		if err := errors.Join(os.WriteFile(note, text, 0o600), spoil()); err != nil {
			t.Fatal(err)
		}
		b.commit(map[string]string{"what": what})
		_, two, all := b.must("      base: root\n")
		if two[0].Digest != one[0].Digest || two[0].Size != one[0].Size || !strings.HasPrefix(all[0], "etc/os-release") {
			t.Errorf("%s: %+v, was %+v", what, two[0], one[0])
		}
	}
}

// Links of a commit lead nowhere: they are placed as they are, and nothing is read through them.
func TestALinkTakesInNoFileOfTheMachine(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, map[string]string{"a/in": "-> file", "a/file": "x", "b/out": "-> " + secret, "dir": "-> " + filepath.Dir(secret)})
	if _, _, all := b.must("      files: {/a: ./a}\n"); all[0] != "a/ 755 0:0 \na/file 644 0:0 x\na/in 777 0:0 file\n" {
		t.Errorf("%q", all)
	}
	if _, _, all := b.must("      files: {/a: ./a/in}\n"); all[0] != "a 777 0:0 file\n" {
		t.Errorf("%q", all)
	}
	b.commit(map[string]string{".hidden": "h"})
	b.git("rm", "-q", "b/out", "dir")
	b.commit(nil)
	if _, _, all := b.must("      files: {/x: ./}\n"); all[0] != "x/ 755 0:0 \nx/.hidden 644 0:0 h\nx/a/ 755 0:0 \nx/a/file 644 0:0 x\nx/a/in 777 0:0 file\n" {
		t.Errorf("%q", all)
	}
	b.git("reset", "-q", "--hard", "HEAD~2")
	for _, path := range []string{"./b", "./b/out", "./dir", "./dir/secret", "./"} {
		_, err := b.build("      files: {/x: "+path+"}\n", "linux/amd64")
		if errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestWhatIsNoImage(t *testing.T) {
	b := newBench(t, map[string]string{"f": "x"})
	b.given["bad"] = nil
	for text, want := range map[string]string{
		"      user: root\n":                                               "an image of nothing",
		"      files: {/a: {mode: \"0644\"}}\n":                            "one of artifact and path",
		"      files: {/a: {artifact: wallet, path: ./f}}\n":               "one of artifact and path",
		"      files: {a: wallet}\n":                                       "written like /usr/bin/wallet",
		"      files: {/a/../b: wallet}\n":                                 "not a path below the root",
		"      files: {/a//b: wallet}\n":                                   "written like /usr/bin/wallet",
		"      files: {/a/.wh.b: wallet}\n":                                "remove files",
		"      files: {/a: ./../x}\n":                                      "leaves the repository",
		"      files: {/a: ./none}\n":                                      "it is not in the commit",
		"      files: {/a: none}\n":                                        `made of "none", which is not there`,
		"      files: {/a: image}\n":                                       "is made of itself",
		"      files: {/a: {artifact: wallet, mode: 0644}}\n":              "quote it",
		"      files: {/a: {artifact: wallet, mode: \"0999\"}}\n":          "in octal",
		"      files: {/a: {artifact: wallet, owner: root}}\n":             "written like 65532:65532",
		"      files: {/a: {artifact: wallet, owner: \"4294967295:0\"}}\n": "no user or group has that number",
		"      files: {/a: wallet, /a/b: ./f}\n":                           "",
		"      base: wallet\n":                                             "it is no tar",
		"      base: root\n      ports: [70000]\n":                         "port",
		"      base: root\n      stop-signal: TERM\n":                      "written like SIGINT",
	} {
		_, err := b.build(text, "linux/amd64")
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error()+errs.HintOf(err), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Keys are written as they are read.
func TestKeysAreWrittenAsTheyAreRead(t *testing.T) {
	f := yamlfile.Format{Builders: []yamlfile.Builder{image.Keys()}, Runtimes: []yamlfile.Runtime{{Name: "process"}}}
	text := "overland: 1\nname: app\nartifacts:\n  image:\n    image:\n" + whole
	one, err := f.Parse([]byte(text), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	two, err := f.Parse(f.Marshal(one), "g.yaml")
	if err != nil {
		t.Fatalf("%v\n%s", err, f.Marshal(one))
	}
	a, b := one.Artifacts["image"].Settings.(*image.Image), two.Artifacts["image"].Settings.(*image.Image)
	if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
		t.Errorf("%+v\n%+v", a, b)
	}
}

// existing returns dir, or the folder above it that is there.
func existing(dir string) string {
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
}

// The same layers, packed another way: on request only, with a type of its own, and a base is packed once in each way.
func TestLayersArePackedWithZstdOnRequest(t *testing.T) {
	b := newBench(t, map[string]string{"deploy/motd": "hello"})
	plain, gzipped, want := b.must(whole)
	for range 2 { // the second time from the note of the base
		c, packed, all := b.must(whole + "      compress: zstd\n")
		if !slices.Equal(all, want) || !slices.Equal(c.RootFS.DiffIDs, plain.RootFS.DiffIDs) {
			t.Errorf("%q of %v, want %q of %v", all, c.RootFS.DiffIDs, want, plain.RootFS.DiffIDs)
		}
		for i, l := range packed {
			if l.MediaType != ocispec.MediaTypeImageLayerZstd || gzipped[i].MediaType != ocispec.MediaTypeImageLayerGzip || l.Digest == gzipped[i].Digest {
				t.Errorf("layer %d: %+v, and %+v", i, l, gzipped[i])
			}
		}
	}
	if notes, err := filepath.Glob(filepath.Join(existing(b.dir), "layers", "*.json")); err != nil || len(notes) != 2 {
		t.Errorf("%v %v", notes, err)
	}
	built, err := b.build(whole+"      compress: zstd\n", "linux/arm64")
	if err != nil || !strings.HasPrefix(built[0].Toolchain, "zstd/") {
		t.Errorf("%+v %v", built, err)
	}
	if _, err := b.build(whole+"      compress: xz\n", "linux/arm64"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("xz: %v", err)
	}
}
