package operator

import (
	"overland/internal/appfile/yamlfile"
	"overland/internal/builder/command"
	"overland/internal/builder/golang"
	"overland/internal/builder/image"
	"overland/internal/builder/packages"
	"overland/internal/builder/rootfs"
	"overland/internal/runtime"
)

// AppFile is overland.yaml as this program knows it: one line for each builder and runtime,
// whose keys stand in its own folder.
func AppFile() yamlfile.Format {
	return yamlfile.Format{
		Builders: []yamlfile.Builder{
			golang.Keys(),
			command.Keys(),
			image.Keys(),
			packages.Keys(),
			rootfs.Keys(),
		},
		Runtimes: []yamlfile.Runtime{
			{Name: runtime.ProcessWord},
		},
		LaterBuilders: []string{"dockerfile", "unikernel"},
		LaterRuntimes: []string{"container", "unikernel", "swarm-service"},
	}
}
