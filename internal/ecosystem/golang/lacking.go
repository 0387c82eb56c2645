package golang

import (
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"overland/internal/ecosystem/tool"
	"overland/internal/lockfile"
)

// info returns the key of the information about the version whose archive is key. go build asks for
// it, and go mod tidy, which has the archive already, does not.
func info(key string) string {
	base, ok := strings.CutSuffix(key, ".zip")
	if !ok || strings.HasPrefix(key, "golang.org/toolchain/") {
		return ""
	}
	return base + ".info"
}

// lacking returns the modules that the go.mod of the project at dir requires, MODULE@VERSION, and
// whose archives l has not. Those of a vendor folder are not missed.
func lacking(l *lockfile.Lock, dir string) []string {
	files := tool.ProjectFiles(dir, "go.mod", modLimit)
	if len(files) == 0 || len(tool.ProjectFiles(dir, "vendor/modules.txt", modLimit)) > 0 {
		return nil
	}
	f, err := modfile.Parse("go.mod", files[0], nil)
	if err != nil {
		return nil // the go command says so itself
	}
	instead := map[module.Version]module.Version{} // of a version, or with "" of all
	for _, r := range f.Replace {
		instead[r.Old] = r.New
	}
	names := map[string]bool{}
	for _, r := range f.Require {
		m := r.Mod
		for _, old := range []module.Version{m, {Path: m.Path}} {
			if to, ok := instead[old]; ok {
				m = to
				break
			}
		}
		path, err := module.EscapePath(m.Path)
		version, wrong := module.EscapeVersion(m.Version)
		if m.Version == "" || err != nil || wrong != nil { // a folder
			continue
		}
		if e, ok := l.Find(Name, path+"/@v/"+version+".zip"); !ok || !e.Exists() {
			names[m.String()] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
