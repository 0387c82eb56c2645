package operator

import (
	"debug/buildinfo"
	"io"
	"strings"

	"overland/internal/digest"
	"overland/internal/store"
	"overland/internal/volume"
)

// Program is one program and what it was made of.
type Program struct {
	Digest  digest.Digest `json:"digest"`
	Size    int64         `json:"size"`              // bytes
	Go      string        `json:"go,omitempty"`      // the toolchain, as the program itself says
	Package string        `json:"package,omitempty"` // of its main function
	Modules []Module      `json:"modules,omitempty"` // the main module first
}

// Module is a Go module inside a program.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version,omitempty"` // "" for the main module, which has the release's
	Sum     string `json:"sum,omitempty"`     // "h1:…", of what was built
	Replace string `json:"replace,omitempty"` // what was built in its place: "example.org/fork v1.2.3", "./folder"
}

// readProgram reads what the Go linker left in the program r, in place.
func readProgram(r *io.SectionReader) (Program, error) {
	p := Program{Size: r.Size()}
	info, err := buildinfo.Read(r)
	if err != nil {
		return p, err
	}
	p.Go, p.Package = info.GoVersion, info.Path
	if info.Main.Path != "" {
		p.Modules = append(p.Modules, Module{Path: info.Main.Path})
	}
	for _, m := range info.Deps {
		entry := Module{Path: m.Path, Version: m.Version, Sum: m.Sum}
		if r := m.Replace; r != nil {
			entry.Sum = r.Sum
			entry.Replace = strings.TrimSpace(r.Path + " " + strings.TrimPrefix(r.Version, "(devel)"))
		}
		p.Modules = append(p.Modules, entry)
	}
	return p, nil
}

type depotBlobs struct{ *store.Store }

func (b depotBlobs) section(d digest.Digest) (*io.SectionReader, io.Closer, error) {
	f, err := b.Open(d)
	if err != nil {
		return nil, nil, err
	}
	return io.NewSectionReader(f, 0, f.Size()), f, nil
}

type volumeBlobs struct{ *volume.Volume }

func (b volumeBlobs) section(d digest.Digest) (*io.SectionReader, io.Closer, error) {
	r, err := b.ReaderAt(d)
	return r, io.NopCloser(nil), err
}
