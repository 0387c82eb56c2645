package rootfs_test

import (
	"strings"
	"testing"

	"overland/internal/appfile/yamlfile"
	"overland/internal/appfile/yamlfile/yamltest"
	"overland/internal/builder/rootfs"
)

func TestKeys(t *testing.T) {
	const head = "overland: 1\nname: a\nartifacts:\n  a: {rootfs: {from: debian/trixie, packages: [libc6]}}\n"
	format := yamlfile.Format{Builders: []yamlfile.Builder{rootfs.Keys()}, Runtimes: []yamlfile.Runtime{{Name: "process"}}}
	yamltest.Run(t, format, map[string]string{
		"rootfs": "overland: 1\nname: a\nartifacts:\n  a: {rootfs: {from: debian/trixie, packages: [libc6, \"busybox=1:1.37.0-6+b9\"], exclude: [bash], skip-scripts: [mawk], without-security: \"yes\", updates: none, data-only: \"yes\"}, platforms: [linux/amd64]}\n",
	}, map[string]yamltest.Refusal{
		"without from":     {strings.Replace(head, "from: debian/trixie, ", "", 1), "f.yaml:4:15: rootfs has no key from", "from: ", true},
		"without packages": {strings.Replace(head, ", packages: [libc6]", "", 1), "f.yaml:4:15: rootfs has no key packages", "packages: ", true},
		"no suite":         {strings.Replace(head, "debian/trixie", "debian", 1), "f.yaml:4:22: from \"debian\"", "debian/trixie", true},
		"not a package":    {strings.Replace(head, "libc6", "../x", 1), "f.yaml:4:48: ", "busybox", true},
	})
}
