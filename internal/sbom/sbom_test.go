package sbom_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"overland/internal/digest"
	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/image"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/sbom"
	"overland/internal/store/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tarred returns a tar of files by name; one that ends in "/" is a folder.
func tarred(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	names := []string{}
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(files[name]))}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Size = tar.TypeDir, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const debian = "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_ID=\"13\"\n"

var once = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "sbom-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	sums, err := os.ReadFile("../../go.sum")
	if err != nil {
		return nil, err
	}
	for name, text := range map[string]string{
		"go.mod": "module example.org/tea\ngo 1.26\nrequire github.com/google/go-cmp v0.7.0\n", "go.sum": string(sums),
		"main.go": "package main\n\nimport \"github.com/google/go-cmp/cmp\"\n\nfunc main() { println(cmp.Equal(1, 2)) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	build := exec.Command("go", "build", "-o", "tea", ".")
	build.Dir, build.Env = dir, append(environ.Child(), "GOFLAGS=", "CGO_ENABLED=0", "GOPROXY=off")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(filepath.Join(dir, "tea"))
})

// built is a Go program of two modules.
func built(t *testing.T) []byte {
	t.Helper()
	b, err := once()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wallet is a release with a Go program, a root file system, an image of both, and a file.
func wallet(t *testing.T) (inspect.Depot, digest.Digest) {
	t.Helper()
	s := new(mem.Store)
	program := built(t)
	root := tarred(t, map[string]string{
		"usr/lib/os-release":                debian,
		"var/lib/dpkg/status.d/libc6":       "Package: libc6\nSource: glibc\nVersion: 2.41-12\nArchitecture: amd64\nProvides: libc6-2.41, pot (= 1)\nDepends: not a (list\n",
		"var/lib/dpkg/status.d/tea":         "Package: tea\nVersion: 1:1.0+dfsg-1\nArchitecture: all\nPre-Depends: awk | mawk\nDepends: libc6 (>= 9), cup | pot\n",
		"var/lib/dpkg/status.d/tea.md5sums": "0  bin/tea\n",
		"bin/tea":                           string(program),
	})
	r := release.Release{App: "wallet", Version: "r1.abc", Commit: strings.Repeat("a", 40), CommitTime: time.Unix(1e9, 0)}
	put := func(name, kind string, b []byte) {
		d, size, err := s.Put(t.Context(), bytes.NewReader(b), "", -1)
		if err != nil {
			t.Fatal(err)
		}
		r.Artifacts = append(r.Artifacts, release.Artifact{Name: name, Platform: "linux/amd64", File: name, Kind: kind, Blob: release.Blob{Digest: d, Size: size}})
	}
	put("base", release.KindFile, root)
	put("node", release.KindBinary, program)
	put("note", release.KindFile, []byte("a text"))
	var steps []image.Step
	for i, layer := range [][]byte{root, tarred(t, map[string]string{
		"var/lib/dpkg/status.d/.wh.tea": "", "etc/app/": "", "lib/apk/db/installed": "C:Q1x\nP:musl\nV:1.2.5-r10\nA:x86_64\no:musl\nD:/bin/sh !cup so:libcrypto.so.3\nF:lib\nR:ld.so\n\nP:libcrypto3\nV:3.5.0-r0\nA:x86_64\no:openssl\np:so:libcrypto.so.3=3\nD:<>\n\n",
	})} {
		made, err := []image.Packing{image.Gzip, image.Zstd}[i].PutTar(t.Context(), s, bytes.NewReader(layer))
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, image.Step{Made: made})
	}
	m, err := image.Put(t.Context(), s, image.Image{Platform: "linux/amd64", Created: r.CommitTime, Layers: steps})
	if err != nil {
		t.Fatal(err)
	}
	r.Artifacts = append(r.Artifacts, release.Artifact{Name: "picture", Platform: "linux/amd64", File: "picture", Kind: release.KindImage, Blob: release.Blob{Digest: m.Digest, Size: m.Size}})
	desc, err := release.Write(t.Context(), s, r)
	if err != nil {
		t.Fatal(err)
	}
	return inspect.Depot{Blobs: s}, desc.Digest
}

func TestWhatAReleaseIsMadeOf(t *testing.T) {
	s, d := wallet(t)
	doc, err := sbom.Of(t.Context(), s, d, sbom.Options{})
	if err != nil {
		t.Fatal(err)
	}
	urls := map[string][]string{}
	for _, a := range doc.Artifacts {
		urls[a.Name] = []string{}
		for _, c := range a.Components {
			url := c.URL()
			if c.Name == "stdlib" {
				url = "std"
			}
			urls[a.Name] = append(urls[a.Name], url)
		}
	}
	modules := []string{"pkg:golang/example.org/tea@r1.abc", "pkg:golang/github.com/google/go-cmp@v0.7.0", "std"}
	want := map[string][]string{
		"base":    {"pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13&upstream=glibc", "pkg:deb/debian/tea@1:1.0%2Bdfsg-1?arch=all&distro=debian-13"},
		"node":    modules,
		"note":    {},
		"picture": {"pkg:apk/debian/libcrypto3@3.5.0-r0?arch=x86_64&distro=debian-13&upstream=openssl", "pkg:apk/debian/musl@1.2.5-r10?arch=x86_64&distro=debian-13", "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13&upstream=glibc", modules[0], modules[1], modules[2]},
	}
	if diff := cmp.Diff(want, urls); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string][]string{"base": {"tea without awk | mawk"}, "node": nil, "picture": {"musl without /bin/sh", "musl without so:libcrypto.so.3"}} {
		at := slices.IndexFunc(doc.Artifacts, func(a sbom.Artifact) bool { return a.Name == name })
		if diff := cmp.Diff(want, doc.Artifacts[at].Without); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := doc.Artifacts[0].Distribution; got != "Debian GNU/Linux 13 (trixie)" {
		t.Errorf("%q", got)
	}
	part, err := sbom.Of(t.Context(), s, d, sbom.Options{Artifact: "base", Platforms: []platform.Platform{"linux/amd64"}})
	if err != nil || len(part.Artifacts) != 1 {
		t.Errorf("%+v, %v", part, err)
	}
	if _, err := sbom.Of(t.Context(), s, d, sbom.Options{Platforms: []platform.Platform{"linux/arm64"}}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a platform that it has not: %v", err)
	}
}

// What is written is what the formats' own schema and reader take, and the same each time.
func TestDocuments(t *testing.T) {
	s, d := wallet(t)
	write := func(f func(*sbom.Document, io.Writer) error) []byte {
		doc, err := sbom.Of(t.Context(), s, d, sbom.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := f(doc, &b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, f := range map[string]func(*sbom.Document, io.Writer) error{"cyclonedx": (*sbom.Document).CycloneDX, "spdx": (*sbom.Document).SPDX} {
		if !bytes.Equal(write(f), write(f)) {
			t.Errorf("%s: twice is not the same", name)
		}
	}
	var bom any
	if err := json.Unmarshal(write((*sbom.Document).CycloneDX), &bom); err != nil {
		t.Fatal(err)
	}
	if err := schema(t).Validate(bom); err != nil {
		t.Errorf("CycloneDX: %v", err)
	}
	if err := schema(t).Validate(map[string]any{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": "x"}); err == nil {
		t.Error("the schema takes all")
	}
	doc, err := spdxjson.Read(bytes.NewReader(write((*sbom.Document).SPDX)))
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(doc); err != nil {
		t.Error(err)
	}
	// As the format's JSON schema has them: its text for tag-value has a hyphen in the last one.
	purposes := []string{"APPLICATION", "CONTAINER", "FILE", "LIBRARY", "OPERATING_SYSTEM"}
	for _, p := range doc.Packages {
		if !slices.Contains(purposes, p.PrimaryPackagePurpose) {
			t.Errorf("%s is for %q", p.PackageName, p.PrimaryPackagePurpose)
		}
	}
	ids, err := spdxlib.GetDescribedPackageIDs(doc)
	if err != nil || len(ids) != 1 || ids[0] != "Release" || len(doc.Packages) != 1+4+2+2+3 {
		t.Errorf("%v, %v, %d packages", ids, err, len(doc.Packages))
	}
}

// schema is CycloneDX's own, as the module that we write it with carries it for its tests.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go")
	list.Env = environ.Child()
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	dir := filepath.Join(strings.TrimSpace(string(out)), "schema")
	for url, name := range map[string]string{
		"http://cyclonedx.org/schema/bom-1.6.schema.json": "bom-1.6.schema.json", "http://cyclonedx.org/schema/spdx.schema.json": "spdx.schema.json",
		"http://cyclonedx.org/schema/jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		v, err := jsonschema.UnmarshalJSON(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(url, v); err != nil {
			t.Fatal(err)
		}
	}
	return c.MustCompile("http://cyclonedx.org/schema/bom-1.6.schema.json")
}

// What others made is read within bounds: the artifact is a file then.
func TestHostileRoots(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  errs.Kind
	}{
		"no database":      {map[string]string{"var/lib/dpkg/status": "no field"}, errs.Invalid},
		"not apk's":        {map[string]string{"lib/apk/db/installed": "P:../x\nV:1\n\n"}, errs.Invalid},
		"half installed":   {map[string]string{"var/lib/dpkg/status": "Package: tea\nStatus: deinstall ok config-files\nVersion: 1\n"}, errs.Internal},
		"nothing about it": {map[string]string{"var/lib/dpkg/status.d/x": ""}, errs.Internal},
	} {
		s := new(mem.Store)
		d, size, err := s.Put(t.Context(), bytes.NewReader(tarred(t, test.files)), "", -1)
		if err != nil {
			t.Fatal(err)
		}
		desc, err := release.Write(t.Context(), s, release.Release{App: "a", Version: "r1.a", CommitTime: time.Unix(1e9, 0), Artifacts: []release.Artifact{
			{Name: "root", Platform: "linux/amd64", File: "root", Kind: release.KindFile, Blob: release.Blob{Digest: d, Size: size}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		doc, err := sbom.Of(t.Context(), inspect.Depot{Blobs: s}, desc.Digest, sbom.Options{})
		if (err == nil) != (test.want == errs.Internal) || err != nil && errs.KindOf(err) != test.want {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && len(doc.Artifacts[0].Components) > 0 {
			t.Errorf("%s: %+v", name, doc.Artifacts[0])
		}
	}
}

// FuzzRoot: no tar makes this process fail.
func FuzzRoot(f *testing.F) {
	f.Add([]byte("P:musl\nV:1\nA:x\n\n"), "lib/apk/db/installed")
	f.Add([]byte("Package: x\nVersion: 1\n"), "var/lib/dpkg/status")
	f.Add([]byte(debian), "etc/os-release")
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o644}) != nil {
			return
		}
		_, _ = w.Write(text)
		_ = w.Close()
		_, _ = sbom.Packages(t.Context(), bytes.NewReader(b.Bytes()))
		_, _ = sbom.Packages(t.Context(), bytes.NewReader(text))
	})
}
