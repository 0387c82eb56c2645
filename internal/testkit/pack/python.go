package pack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"overland/internal/digest"
)

// Wheel returns a wheel of the project name that pip installs: one module
// called name, with the text source.
func Wheel(name, version, source string, requires ...string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	info := name + "-" + version + ".dist-info/"
	var list strings.Builder
	add := func(file, text string) {
		w, err := z.Create(file)
		must(err)
		_, err = io.WriteString(w, text)
		must(err)
		list.WriteString(file + ",,\n")
	}
	add(name+".py", source)
	add(info+"METADATA", string(Metadata(name, version, requires...)))
	add(info+"WHEEL", "Wheel-Version: 1.0\nGenerator: overland\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
	add(info+"RECORD", list.String()+info+"RECORD,,\n")
	must(z.Close())
	return b.Bytes()
}

// Metadata returns the METADATA of a wheel.
func Metadata(name, version string, requires ...string) []byte {
	text := fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version)
	for _, r := range requires {
		text += "Requires-Dist: " + r + "\n"
	}
	return []byte(text)
}

// backend is a build backend that is part of the source archive that it builds: it needs nothing.
const backend = `import zipfile
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name, version, source = %q, %q, %q
    file, info = f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info/"
    with zipfile.ZipFile(f"{wheel_directory}/{file}", "w") as z:
        z.writestr(name + ".py", source)
        z.writestr(info + "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        z.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(info + "RECORD", "")
    return file
`

// Sdist returns a source archive that pip builds and installs without anything else.
func Sdist(name, version, source string) []byte {
	dir := name + "-" + version + "/"
	return tarball(map[string]string{
		dir + "PKG-INFO":       string(Metadata(name, version)),
		dir + "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
		dir + "backend.py":     fmt.Sprintf(backend, name, version, source),
	})
}

// tarball returns files as a .tar.gz.
func tarball(files map[string]string) []byte {
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	w := tar.NewWriter(gz)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		must(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}))
		_, err := io.WriteString(w, files[name])
		must(err)
	}
	must(w.Close())
	must(gz.Close())
	return b.Bytes()
}

func must(err error) {
	if err != nil {
		panic(err) // of a buffer in memory
	}
}

// PyPI serves files, by name, as a simple index below /simple/: PEP 691's JSON when asked for it,
// else PEP 503's HTML. A file NAME.metadata is that of NAME.
type PyPI struct {
	Files    map[string][]byte
	HTMLOnly bool // it knows no JSON
}

const pypiJSON = "application/vnd.pypi.simple.v1+json"

func (p PyPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b, ok := p.Files[path.Base(r.URL.Path)]; ok && strings.HasPrefix(r.URL.Path, "/files/") {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(b)
		return
	}
	project, ok := strings.CutPrefix(r.URL.Path, "/simple/")
	project, ok2 := strings.CutSuffix(project, "/")
	var names []string
	for _, name := range slices.Sorted(maps.Keys(p.Files)) {
		if strings.HasPrefix(name, project+"-") && !strings.HasSuffix(name, ".metadata") {
			names = append(names, name)
		}
	}
	if !ok || !ok2 || len(names) == 0 {
		http.NotFound(w, r)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), pypiJSON) && !p.HTMLOnly {
		w.Header().Set("Content-Type", pypiJSON)
		_, _ = w.Write(p.json(project, names))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(p.html(names))
}

// json returns what the index says of project, in JSON.
func (p PyPI) json(project string, names []string) []byte {
	type file map[string]any
	var list []file
	for _, name := range names {
		f := file{"filename": name, "url": "../../files/" + name, "hashes": file{"sha256": digest.Of(p.Files[name]).Encoded()}, "yanked": false}
		if m, ok := p.Files[name+".metadata"]; ok {
			f["core-metadata"] = file{"sha256": digest.Of(m).Encoded()}
		}
		list = append(list, f)
	}
	b, err := json.Marshal(file{"meta": file{"api-version": "1.1"}, "name": project, "files": list, "versions": []string{}})
	must(err)
	return b
}

// html returns what the index says of a project with the files names, in HTML.
func (p PyPI) html(names []string) []byte {
	var b bytes.Buffer
	b.WriteString("<!DOCTYPE html>\n<html><body>\n")
	for _, name := range names {
		meta := ""
		if m, ok := p.Files[name+".metadata"]; ok {
			meta = ` data-core-metadata="sha256=` + digest.Of(m).Encoded() + `"`
		}
		fmt.Fprintf(&b, "<a href=\"../../files/%s#sha256=%s\"%s data-requires-python=\"&gt;=3\">%s</a><br/>\n",
			html.EscapeString(name), digest.Of(p.Files[name]).Encoded(), meta, html.EscapeString(name))
	}
	b.WriteString("</body></html>\n")
	return b.Bytes()
}
