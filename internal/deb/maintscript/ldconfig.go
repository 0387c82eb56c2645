package maintscript

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"overland/internal/archive"
	"overland/internal/errs"
)

// Limits of what ldconfig reads.
const (
	librariesLimit = 100_000
	configLimit    = 1 << 20 // bytes of one file of its configuration
	includeLimit   = 8       // files that include one another
)

const cacheName = "/etc/ld.so.cache"

// linkerCache is what a script's ldconfig does: it is done once for all scripts (Finish).
func linkerCache(c *call) error {
	c.linked = true
	return nil
}

// Finish does what scripts have left for the end: the cache of the dynamic linker, if one of them has run ldconfig.
func (s *System) Finish() error {
	if !s.linked {
		return nil
	}
	s.linked = false
	list, err := s.libraries()
	if err != nil {
		return err
	}
	return s.root.write("/", cacheName, linkerFile(list, s.generator()))
}

// cached is a line of the cache.
type cached struct {
	soname, path string
	flags        uint32
}

// libraries returns those in the folders of ld.so.conf, and in the usual ones, in the cache's order. A library gets the
// link with its soname that it lacks, and links that lead nowhere go.
func (s *System) libraries() ([]cached, error) {
	var list []cached
	seen := map[string]bool{}
	for _, dir := range append(s.configured("/etc/ld.so.conf", 0), s.usual()...) {
		name, f, err := s.root.find("/", dir, true)
		if err != nil || !f.Mode.IsDir() || seen[name] {
			continue
		}
		seen[name] = true
		some, err := s.librariesIn(dir, name)
		if err != nil {
			return nil, err
		}
		if list = append(list, some...); len(list) > librariesLimit {
			return nil, errs.Errorf(errs.Invalid, "more than %d libraries", librariesLimit)
		}
	}
	slices.SortStableFunc(list, func(a, b cached) int {
		return cmp.Or(compareLibraries(b.soname, a.soname), cmp.Compare(b.flags, a.flags))
	})
	return list, nil
}

// configured returns the folders that the file conf names, and those that it includes.
func (s *System) configured(conf string, depth int) (dirs []string) {
	name, f, err := s.root.find("/", conf, true)
	if err != nil || !f.Mode.IsRegular() || f.Size > configLimit || depth > includeLimit {
		return nil
	}
	text, err := s.root.Read(name)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "hwcap":
		case words[0] == "include":
			for _, pattern := range words[1:] {
				if !path.IsAbs(pattern) {
					pattern = path.Join(path.Dir(conf), pattern)
				}
				dir, _, err := s.root.find("/", path.Dir(pattern), true)
				if err != nil {
					continue
				}
				for _, one := range s.root.List(dir) {
					if fits, err := path.Match(path.Base(pattern), one); err == nil && fits {
						dirs = append(dirs, s.configured(path.Join(path.Dir(pattern), one), depth+1)...)
					}
				}
			}
		default:
			dir, _, _ := strings.Cut(words[0], "=")
			if path.IsAbs(dir) {
				dirs = append(dirs, path.Clean(dir))
			}
		}
	}
	return dirs
}

// usual returns the folders that the dynamic linker knows itself: Debian's has those of its architecture, too.
func (s *System) usual() (dirs []string) {
	for _, dir := range []string{"/lib", "/usr/lib"} {
		name, _, err := s.root.find("/", dir, true)
		if err != nil {
			continue
		}
		for _, triplet := range []string{"x86_64-linux-gnu", "aarch64-linux-gnu", "arm-linux-gnueabihf", "arm-linux-gnueabi"} {
			if _, there := s.root.Get(path.Join(name, triplet)); there {
				dirs = append(dirs, path.Join(dir, triplet))
			}
		}
	}
	return append(dirs, "/lib", "/usr/lib")
}

// foundLibrary is a library in one folder.
type foundLibrary struct {
	cached
	file string // its own name
	link bool
}

// librariesIn returns the libraries in a folder, which is called name in the root.
func (s *System) librariesIn(dir, name string) (list []cached, err error) {
	all := map[string]*foundLibrary{}
	for _, one := range s.root.List(name) {
		if !isLibrary(one) {
			continue
		}
		own, _ := s.root.Get(path.Join(name, one))
		at, f, err := s.root.find("/", path.Join("/", name, one), true)
		if errors.Is(err, fs.ErrNotExist) && strings.Contains(one, ".so.") { // a link to what was there before
			s.root.Remove(path.Join(name, one))
		}
		if err != nil || !f.Mode.IsRegular() {
			continue
		}
		soname, flags, ok := readLibrary(s.root.Bytes(at))
		if !ok {
			continue
		}
		x := &foundLibrary{cached{cmp.Or(soname, one), "", flags}, one, own.Mode&fs.ModeSymlink != 0}
		if x.link && one != x.soname && !(strings.HasSuffix(one, ".so") && strings.HasPrefix(x.soname, one)) {
			x.link = false
		}
		if x.link {
			x.soname = one
		}
		old := all[x.soname]
		if old == nil || !x.link && old.link || x.link == old.link && compareLibraries(old.file, x.file) < 0 {
			all[x.soname] = x
		}
	}
	for _, soname := range slices.Sorted(maps.Keys(all)) {
		x := all[soname]
		x.path = path.Join(dir, x.soname)
		list = append(list, x.cached)
		if there, ok := s.root.Get(path.Join(name, x.soname)); x.link || ok && there.Mode&fs.ModeSymlink == 0 || there.Target == x.file {
			continue
		}
		if err := s.root.Put(path.Join(name, x.soname), File{Mode: fs.ModeSymlink | fs.ModePerm, Target: x.file}, nil); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// isLibrary reports whether ldconfig looks at a file that is called name.
func isLibrary(name string) bool {
	return (strings.HasPrefix(name, "lib") || strings.HasPrefix(name, "ld-")) && strings.Contains(name, ".so") &&
		!strings.HasSuffix(name, "-gdb.py") && !strings.HasSuffix(name, ".dpkg-new") && !strings.HasSuffix(name, ".dpkg-tmp")
}

// Flags of a line, of glibc's ldconfig.h.
const (
	flagELF     = 0x0003
	flagX8664   = 0x0300
	flagX32     = 0x0800
	flagARMHard = 0x0900
	flagAArch64 = 0x0a00
	flagARMSoft = 0x0b00

	armSoft, armHard = 0x200, 0x400 // in e_flags
	armFlags         = 36           // where these are
)

// readLibrary returns the soname of a library, "" when it has none, and the flags of the processor that it is for. ok = r is a
// library.
func readLibrary(r io.ReaderAt) (soname string, flags uint32, ok bool) {
	f, err := archive.ELF(r)
	if err != nil || f.Type != elf.ET_DYN || !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_DYNAMIC }) {
		return "", 0, false
	}
	if names, err := f.DynString(elf.DT_SONAME); err == nil && len(names) > 0 && !strings.Contains(names[0], "/") && len(names[0]) < 256 {
		soname = names[0]
	}
	flags = flagELF
	switch {
	case f.Machine == elf.EM_X86_64 && f.Class == elf.ELFCLASS64:
		flags |= flagX8664
	case f.Machine == elf.EM_X86_64:
		flags |= flagX32
	case f.Machine == elf.EM_AARCH64:
		flags |= flagAArch64
	case f.Machine == elf.EM_ARM:
		var b [4]byte
		if _, err := r.ReadAt(b[:], armFlags); err != nil {
			return "", 0, false
		}
		switch abi := binary.LittleEndian.Uint32(b[:]); {
		case abi&armHard != 0:
			flags |= flagARMHard
		case abi&armSoft != 0:
			flags |= flagARMSoft
		}
	}
	return soname, flags, true
}

// compareLibraries compares as glibc does: digits in names are numbers.
func compareLibraries(a, b string) int {
	digit := func(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }
	number := func(s string) (n int32, rest string) {
		for ; digit(s); s = s[1:] {
			n = n*10 + int32(s[0]-'0') // it overflows as it does there
		}
		return n, s
	}
	for a != "" {
		switch {
		case digit(a) && digit(b):
			var m, n int32
			m, a = number(a)
			n, b = number(b)
			if m != n {
				return cmp.Compare(m, n)
			}
		case digit(a):
			return 1
		case digit(b):
			return -1
		case b == "":
			return 1
		case a[0] != b[0]:
			return cmp.Compare(a[0], b[0])
		default:
			a, b = a[1:], b[1:]
		}
	}
	return -min(len(b), 1)
}

// generator returns what the root's own ldconfig calls itself.
func (s *System) generator() string {
	const longest = 4 << 20
	name, f, err := s.root.find("/", "/sbin/ldconfig", true)
	if err == nil && f.Mode.IsRegular() && f.Size <= longest {
		if b, err := s.root.Read(name); err == nil {
			if i := bytes.Index(b, []byte("ldconfig (")); i >= 0 {
				if end := bytes.IndexByte(b[i:], 0); end > 0 && end < 256 {
					return string(b[i : i+end])
				}
			}
		}
	}
	return "ldconfig"
}

// linkerFile returns the cache with list, in the format "glibc-ld.so.cache1.1": a header, 24 bytes for each library, their
// names and paths, of which one that is the end of another has no bytes of its own, and who made it.
func linkerFile(list []cached, generator string) []byte {
	const header, line, extension = 48, 24, 8 + 16
	var texts []string
	for _, l := range list {
		texts = append(texts, l.soname, l.path)
	}
	at, table := shared(texts)
	first := header + line*len(list)
	end := (first + len(table) + 3) &^ 3
	le := binary.LittleEndian
	b := append(make([]byte, 0, end+extension+len(generator)), "glibc-ld.so.cache1.1"...)
	b = le.AppendUint32(b, uint32(len(list)))
	b = le.AppendUint32(b, uint32(len(table)))
	b = append(b, 2, 0, 0, 0) // little endian
	b = le.AppendUint32(b, uint32(end))
	b = append(b, make([]byte, header-len(b))...)
	for _, l := range list {
		b = le.AppendUint32(b, l.flags)
		b = le.AppendUint32(b, uint32(first+at[l.soname]))
		b = le.AppendUint32(b, uint32(first+at[l.path]))
		b = append(b, make([]byte, 12)...) // of which version of a kernel and of a processor: any
	}
	b = append(b, table...)
	b = append(b, make([]byte, end-len(b))...)
	b = le.AppendUint32(b, 0xeaa42174) // extensions: one, who made it
	b = le.AppendUint32(b, 1)
	b = append(b, make([]byte, 8)...)
	b = le.AppendUint32(b, uint32(end+extension))
	b = le.AppendUint32(b, uint32(len(generator)))
	return append(b, generator...)
}

// shared returns a table of texts, each ended by a zero, and where each of them is.
func shared(texts []string) (at map[string]int, table []byte) {
	texts = slices.Clone(texts)
	slices.SortFunc(texts, func(a, b string) int {
		for i := 1; i <= min(len(a), len(b)); i++ {
			if c := cmp.Compare(b[len(b)-i], a[len(a)-i]); c != 0 {
				return c
			}
		}
		return cmp.Compare(len(b), len(a))
	})
	at = map[string]int{}
	for i, s := range texts {
		if i > 0 && strings.HasSuffix(texts[i-1], s) {
			at[s] = at[texts[i-1]] + len(texts[i-1]) - len(s)
			continue
		}
		at[s] = len(table)
		table = append(append(table, s...), 0)
	}
	return at, table
}
