package golang_test

import (
	"strings"
	"testing"

	"overland/internal/appfile/yamlfile"
	"overland/internal/appfile/yamlfile/yamltest"
	"overland/internal/builder/golang"
)

// head is the least that a file needs.
const head = "overland: 1\nname: a\nartifacts:\n  a: {go: ./cmd/a}\n"

func TestKeys(t *testing.T) {
	format := yamlfile.Format{Builders: []yamlfile.Builder{golang.Keys()}, Runtimes: []yamlfile.Runtime{{Name: "process"}}}
	yamltest.Run(t, format, map[string]string{
		"least":      head,
		"go mapping": "overland: 1\nname: a\nartifacts:\n  a:\n    go: {package: ., dir: tools/x, toolchain: go1.26.8, tags: [netgo, x_1], vars: {main.version: \"{{.Version}} {{ .Commit }}\"}}\n",
	}, map[string]yamltest.Refusal{
		"package outside":    {strings.Replace(head, "./cmd/a", "./../a", 1), `f.yaml:4:11: go "./../a"`, "./cmd/node", false},
		"package absolute":   {strings.Replace(head, "./cmd/a", "/cmd/a", 1), `f.yaml:4:11: go "/cmd/a"`, "./cmd/node", true},
		"package pattern":    {strings.Replace(head, "./cmd/a", "./...", 1), `f.yaml:4:11: go "./..."`, "./cmd/node", false},
		"go is a list":       {strings.Replace(head, "./cmd/a", "[x]", 1), "f.yaml:4:11: go must be text, not a list", "", true},
		"go without package": {strings.Replace(head, "./cmd/a", "{dir: x}", 1), "f.yaml:4:11: go has no key package", "package: ", true},
		"dir outside":        {strings.Replace(head, "./cmd/a", "{package: ., dir: a/../../b}", 1), `f.yaml:4:29: dir "a/../../b"`, "tools/server", false},
		"toolchain":          {strings.Replace(head, "./cmd/a", "{package: ., toolchain: \"1.26\"}", 1), `f.yaml:4:35: toolchain "1.26"`, "go1.26.8", true},
		"cgo":                {strings.Replace(head, "./cmd/a", "{package: ., cgo: true}", 1), "f.yaml:4:29: cgo: it is always off", "leave it out", true},
		"tag":                {strings.Replace(head, "./cmd/a", "{package: ., tags: [\"a b\"]}", 1), `f.yaml:4:31: tag "a b"`, "letters", true},
		"var name":           {strings.Replace(head, "./cmd/a", "{package: ., vars: {version: x}}", 1), `f.yaml:4:31: vars: "version"`, "main.version", true},
		"var variable":       {strings.Replace(head, "./cmd/a", "{package: ., vars: {main.v: \"{{.Vresion}}\"}}", 1), "f.yaml:4:39: unknown variable {{.Vresion}} · did you mean {{.Version}}?", "{{.Commit}}", false},
	})
}
