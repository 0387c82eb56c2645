package tree

import (
	"bytes"
	"debug/elf"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"overland/internal/archive"
	"overland/internal/fsx"
)

const maxTable = 256 << 20 // bytes of a string table

// program is what is known of a file that is a program or a library; zero for any other file.
type program struct {
	patches  []patch
	harmless []span // where a path does no harm: it is patched, or never loaded
}

// elf reads f, at rel from the top, as an ELF file. It refuses a loader or a library that is named
// by a path below a root, and makes RPATH and RUNPATH relative.
func (p *packer) elf(f io.ReaderAt, rel string) (g program) {
	e, err := archive.ELF(f)
	if err != nil {
		return g // not a program: scan checks it
	}
	for _, s := range e.Sections {
		// Debug information names the folder of the sources, and
		// running the program does not need it.
		if s.Flags&elf.SHF_ALLOC == 0 && s.Type != elf.SHT_NOBITS && s.Type != elf.SHT_NULL {
			g.harmless = append(g.harmless, span{int64(s.Offset), int64(s.Offset) + int64(s.FileSize)})
		}
	}
	if loader := interpreter(e); loader != "" {
		if _, ok := p.inside(loader); ok {
			p.refuse(rel, "its loader is %s: the kernel takes no path from where a program is", loader)
			return g
		}
	}
	libraries, _ := e.ImportedLibraries()
	for _, lib := range libraries {
		if _, ok := p.inside(lib); ok {
			p.refuse(rel, "it needs the library %s by its path: give that a SONAME without one", lib)
			return g
		}
	}
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		p.searchPath(e, tag, rel, &g)
	}
	return g
}

func interpreter(e *elf.File) string {
	for _, s := range e.Progs {
		if s.Type == elf.PT_INTERP {
			b, err := fsx.Read(s.Open(), "loader", maxRoot)
			if err != nil {
				return ""
			}
			return string(bytes.TrimRight(b, "\x00"))
		}
	}
	return ""
}

// searchPath replaces, in the list of folders that tag holds, those of a root by $ORIGIN/….
func (p *packer) searchPath(e *elf.File, tag elf.DynTag, rel string, g *program) {
	values, err := e.DynValue(tag)
	if err != nil {
		return
	}
	table := dynstr(e)
	for _, v := range values {
		if table == nil || v >= table.FileSize {
			p.refuse(rel, "its %s cannot be read", tag)
			return
		}
		b := make([]byte, min(table.FileSize-v, 16*maxRoot))
		n, _ := table.ReadAt(b, int64(v))
		old, _, ended := strings.Cut(string(b[:n]), "\x00")
		made, changed := p.origin(old, rel)
		if !changed {
			continue
		}
		switch {
		case !ended || len(made) > len(old):
			p.refuse(rel, "its %s is %s, and %s does not fit in its place", strings.TrimPrefix(tag.String(), "DT_"), old, made)
			return
		case sharesTail(e, old):
			p.refuse(rel, "its %s is %s, and the linker keeps another name in the same bytes", strings.TrimPrefix(tag.String(), "DT_"), old)
			return
		}
		at := int64(table.Offset + v)
		text := append([]byte(made), make([]byte, len(old)-len(made))...)
		g.patches = append(g.patches, patch{at, text})
		g.harmless = append(g.harmless, span{at, at + int64(len(old))})
		p.packed.Rewritten = append(p.packed.Rewritten, rel+": "+strings.TrimPrefix(tag.String(), "DT_"))
	}
}

// origin returns the search path list of the file at rel with the folders
// of a root relative to the file.
func (p *packer) origin(list, rel string) (made string, changed bool) {
	folders := strings.Split(list, ":")
	for i, folder := range folders {
		inside, ok := p.inside(folder)
		if !ok {
			continue
		}
		from, err := filepath.Rel(filepath.Dir(rel), inside)
		if err != nil {
			continue
		}
		folders[i], changed = "$ORIGIN", true
		if from != "." {
			folders[i] += "/" + from
		}
	}
	return strings.Join(folders, ":"), changed
}

// dynstr returns the section with the names of the dynamic section.
func dynstr(e *elf.File) *elf.Section {
	for _, s := range e.Sections {
		if s.Type == elf.SHT_DYNAMIC && int(s.Link) < len(e.Sections) {
			if t := e.Sections[s.Link]; t.Type == elf.SHT_STRTAB && t.FileSize <= maxTable && t.Flags&elf.SHF_COMPRESSED == 0 {
				return t
			}
		}
	}
	return nil
}

// sharesTail reports whether a name of the dynamic section ends like text: linkers store such names
// once, so a changed text would change the name. A file whose names cannot be read shares.
func sharesTail(e *elf.File, text string) bool {
	symbols, err := e.DynamicSymbols()
	if err != nil && len(symbols) > 0 {
		return true
	}
	libraries, err := e.ImportedLibraries()
	if err != nil {
		return true
	}
	sonames, err := e.DynString(elf.DT_SONAME)
	if err != nil {
		return true
	}
	names := slices.Concat(libraries, sonames)
	for _, s := range symbols {
		names = append(names, s.Name, s.Library, s.Version)
	}
	versions, err := e.DynamicVersions()
	if err == nil {
		for _, v := range versions {
			names = append(names, v.Name)
			names = append(names, v.Deps...)
		}
	}
	needs, err := e.DynamicVersionNeeds()
	if err == nil {
		for _, n := range needs {
			names = append(names, n.Name)
			for _, d := range n.Needs {
				names = append(names, d.Dep)
			}
		}
	}
	return slices.ContainsFunc(names, func(name string) bool { return name != "" && strings.HasSuffix(text, name) })
}
