package pack

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"path"
)

// NPM returns a package for npm with one file of source, and the packument of a registry
// at base that has only that one.
func NPM(base, name, version, source string) (packument string, file []byte) {
	about := map[string]any{"name": name, "version": version, "main": "index.js"}
	text, err := json.Marshal(about)
	must(err)
	file = tarball(map[string]string{"package/package.json": string(text), "package/index.js": source})
	sum := sha512.Sum512(file)
	about["dist"] = map[string]string{
		"tarball": base + "/" + name + "/-/" + path.Base(name) + "-" + version + ".tgz", "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:]),
	}
	text, err = json.Marshal(map[string]any{
		"name": name, "dist-tags": map[string]string{"latest": version}, "versions": map[string]any{version: about},
	})
	must(err)
	return string(text), file
}
