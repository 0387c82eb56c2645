package operator_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/image"
	"overland/internal/operator"
	"overland/internal/operator/changes"
	"overland/internal/release"
	"overland/internal/sbom"
	"overland/internal/store"
)

// root is the tar of a root file system with packages by name, and files.
func root(t *testing.T, packages map[string]string, files ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h *tar.Header, text string) {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(text))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(&tar.Header{Typeflag: tar.TypeReg, Name: "etc/os-release", Mode: 0o644}, "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_ID=13\n")
	for name, version := range packages {
		add(&tar.Header{Typeflag: tar.TypeReg, Name: "var/lib/dpkg/status.d/" + name, Mode: 0o644}, "Package: "+name+"\nVersion: "+version+"\nArchitecture: amd64\n")
	}
	for _, h := range files {
		add(h, h.Name)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func file(name string, mode int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}
}

// explained releases a root file system, and an image of two layers, of which the upper removes a file and has another.
func explained(t *testing.T, p *operator.Operator, version, libc string, r []byte, run image.Run, service appfile.Service) release.Ref {
	t.Helper()
	put := func(b []byte) release.Blob {
		d, err := store.PutBytes(t.Context(), p.Depot(), b)
		if err != nil {
			t.Fatal(err)
		}
		return release.Blob{Digest: d, Size: int64(len(b))}
	}
	var layers []image.Step
	below := put(r)
	layers = append(layers, image.Step{Made: image.Made{
		Descriptor: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: below.Digest, Size: below.Size}, DiffID: below.Digest,
	}})
	above, err := image.Zstd.PutTar(t.Context(), p.Depot(), bytes.NewReader(root(t, map[string]string{"libc6": libc}, file("etc/.wh.gone", 0))))
	if err != nil {
		t.Fatal(err)
	}
	layers = append(layers, image.Step{Made: above})
	w, err := image.Put(t.Context(), p.Depot(), image.Image{Platform: "linux/amd64", Created: noon, Layers: layers, Run: run})
	if err != nil {
		t.Fatal(err)
	}
	service.Artifact, service.Runtime = "wallet", "process"
	return publishRelease(t, p, release.Release{
		App: "wallet", Version: version, Commit: strings.Repeat("a", 40), CommitTime: noon, Services: map[string]appfile.Service{"web": service},
		Artifacts: []release.Artifact{
			{Name: "root", Platform: "linux/amd64", File: "root", Kind: release.KindFile, Blob: put(r)},
			{Name: "picture", Platform: "linux/amd64", File: "picture", Kind: release.KindImage, Blob: release.Blob{Digest: w.Digest, Size: w.Size}},
		},
	}, "linux/amd64")
}

// What a release is made of, and what changes to the next one, is said alike of a site, a volume and a file.
func TestExplained(t *testing.T) {
	p := begin(t)
	capable := file("bin/ping", 0o755)
	capable.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "\x01"}
	old := root(t, map[string]string{"libc6": "2.40-1", "tea": "1.0"}, file("bin/su", 0o755), file("etc/gone", 0o644), file("bin/ping", 0o755))
	fresh := root(t, map[string]string{"libc6": "2.41-12", "milk": "3"}, file("bin/su", 0o4755), file("etc/gone", 0o644), capable)
	first := explained(t, p, "r1.aaaaaaaaaaaa", "2.40-2", old, image.Run{User: "app"}, appfile.Service{Ports: []appfile.Port{{Number: 80}}})
	next := explained(t, p, "r2.bbbbbbbbbbbb", "2.42-1", fresh, image.Run{Ports: []string{"80/tcp"}},
		appfile.Service{User: "web", Rights: appfile.Rights{Capabilities: []string{"net_bind_service"}}})
	promote(t, p, next, "live")
	s, _ := seal(t, p, operator.SealOptions{Channel: "live"})
	volume := s.Paths[0]

	want := []string{"distribution Debian GNU/Linux 13 (trixie)", "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13", "pkg:deb/debian/milk@3?arch=amd64&distro=debian-13"}
	bare := filepath.Join(t.TempDir(), "root.tar")
	if err := os.WriteFile(bare, fresh, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{next.String(), volume, bare} {
		in, err := p.Inspect(t.Context(), what)
		if err != nil {
			t.Fatal(err)
		}
		r := in.Root
		for _, one := range in.Releases {
			for _, a := range one.Artifacts {
				if a.Name == "root" {
					r = a.Root
				}
			}
		}
		if r == nil || !slices.Equal(append([]string{"distribution " + r.Distribution}, r.Packages...), want) {
			t.Errorf("%s: %+v", what, r)
		}
	}

	doc, err := operator.SBOMFile(t.Context(), operator.FileOptions{Path: volume, Root: s.Fingerprint}, sbom.Options{})
	site, siteErr := p.SBOM(t.Context(), next, sbom.Options{})
	if err != nil || siteErr != nil {
		t.Fatal(err, siteErr)
	}
	var ofFile, ofSite bytes.Buffer
	if err := doc.SPDX(&ofFile); err != nil || site.SPDX(&ofSite) != nil || ofFile.String() != ofSite.String() || !strings.Contains(ofSite.String(), "libc6@2.42-1") {
		t.Errorf("the file's bill is not the site's: %v", err)
	}
	if _, err := operator.SBOMFile(t.Context(), operator.FileOptions{Path: volume, App: "tea"}, sbom.Options{}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("no such application: %v", err)
	}
	if _, err := operator.SBOMFile(t.Context(), operator.FileOptions{Path: volume, Root: "sha256:" + "0000000000000000000000000000000000000000000000000000000000000000"}, sbom.Options{}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("another root: %v", err)
	}

	for _, to := range []string{next.String(), volume} {
		c, err := p.Diff(t.Context(), [2]string{first.String(), to}, operator.FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			`{"what":"deb libc6","was":"2.40-1","is":"2.41-12"}`, `{"what":"deb tea","was":"1.0"}`, `{"what":"deb milk","is":"3"}`, // of the root
			`{"what":"deb libc6","was":"2.40-2","is":"2.42-1"}`,                                 // of the image, in its upper layer
			`{"what":"User","was":"\"app\""}`, `{"what":"ExposedPorts","is":"{\"80/tcp\":{}}"}`, // of its config
			`{"what":"capabilities","is":"[\"net_bind_service\"]"}`, `{"what":"user","is":"\"web\""}`, `{"what":"ports","was":"[80]"}`,
			`"mode":"urwxr-xr-x"`, `"capabilities":"01"`,
		} {
			if !strings.Contains(string(b), want) {
				t.Errorf("%s: %s is not in %s", to, want, b)
			}
		}
		for _, a := range c.Artifacts {
			if a.Name == "picture" && slices.ContainsFunc(a.Files, func(f changes.FileChange) bool { return f.Path == "/etc/gone" }) {
				t.Errorf("a file that both images have removed: %+v", a.Files)
			}
			if a.Name == "picture" && a.Is.Size < int64(len(fresh)) {
				t.Errorf("an image weighs all that it is: %d", a.Is.Size)
			}
		}
		if c, err = p.Diff(t.Context(), [2]string{next.String(), to}, operator.FileOptions{}); err != nil || !c.Same {
			t.Errorf("with itself: %+v, %v", c, err)
		}
	}
	before := filepath.Join(t.TempDir(), "before.tar")
	if err := os.WriteFile(before, old, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := (*operator.Operator)(nil).Diff(t.Context(), [2]string{before, bare}, operator.FileOptions{})
	if err != nil || len(c.Artifacts) != 1 || len(c.Artifacts[0].Packages) != 3 || c.Artifacts[0].Is.Size != int64(len(fresh)) {
		t.Errorf("two files: %+v, %v", c, err)
	}
	if _, err := (*operator.Operator)(nil).Diff(t.Context(), [2]string{first.String(), bare}, operator.FileOptions{}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a release without a site: %v", err)
	}
}
