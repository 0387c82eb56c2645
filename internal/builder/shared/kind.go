package shared

import (
	"encoding/json"
	"regexp"
	"strings"

	"overland/internal/builder"
	"overland/internal/netcache"
	"overland/internal/platform"
	"overland/internal/platform/sysinfo"
)

// The fields of an entry's metadata that say for which kind of machine its blob is. Old
// clients read os and multiarch.
const (
	osField        = "os" // [id, version, codename]
	multiarchField = "multiarch"
	machineField   = "machine" // before 2021
	archField      = "arch"    // as Go calls it
	cpuField       = "march"
	libcField      = "libc"
	libcMinField   = "libc_min"
)

// addKind puts the kind of machine h into fields.
func addKind(fields map[string]any, h platform.Host) {
	fields[osField] = []any{h.OS, h.Release, h.Codename}
	for name, value := range map[string]string{
		multiarchField: h.Multiarch, archField: h.Arch, cpuField: h.CPU, libcField: h.Libc, libcMinField: h.LibcVersion,
	} {
		fields[name] = value
	}
}

// tuple is how clients before 2021 wrote a system: Python's ('debian', '7.0', ”).
var tuple = regexp.MustCompile(`^\('([^'\\]{0,100})', '([^'\\]{0,100})', '([^'\\]{0,100})'\)$`)

// kindOf returns the kind of machine that e says its blob is for; fields that e lacks are empty.
func kindOf(e netcache.Entry) platform.Host {
	h := platform.Host{
		Multiarch: e.Text(multiarchField), Arch: e.Text(archField), CPU: e.Text(cpuField),
		Libc: e.Text(libcField), LibcVersion: e.Text(libcMinField),
	}
	var system [3]string
	switch v := e.Fields[osField].(type) {
	case []any:
		for i := range min(len(v), len(system)) {
			system[i], _ = v[i].(string)
		}
	case string:
		if m := tuple.FindStringSubmatch(v); m != nil {
			copy(system[:], m[1:])
		}
	}
	h.OS, h.Release = sysinfo.NormalRelease(system[0], system[1])
	h.Codename = system[2]
	if h.Multiarch == "" && e.Text(machineField) == "x86_64" {
		h.Multiarch = "x86_64-linux-gnu"
	}
	return h
}

// refuses returns why here cannot run what e is for, "" when it can. Entries of old clients name
// neither libc nor CPU: with old set they are accepted when system, release and multiarch are
// the same, as those clients do.
func refuses(here platform.Host, e netcache.Entry, old bool) string {
	kind := kindOf(e)
	if !old || kind.Libc != "" || kind.CPU != "" {
		return here.Refuses(kind)
	}
	if kind.Multiarch == "" || kind.OS == "" || here.Multiarch == "" {
		return "it does not say for which machines it is"
	}
	kind.Arch, kind.CPU, kind.Libc, kind.LibcVersion = here.Arch, here.CPU, here.Libc, here.LibcVersion
	// Of other systems than Debian the codename counts too: ubuntu 22.04 jammy.
	if kind.OS != "debian" && !strings.EqualFold(kind.Codename, here.Codename) {
		return "it is for " + kind.OS + " " + kind.Codename
	}
	return here.Refuses(kind)
}

const maxToolchain = 200 // bytes of a toolchain's name

// describe returns the metadata of a result.
func describe(w builder.Wanted, s builder.Sharable, source string) map[string]any {
	fields := map[string]any{
		"recipe": string(w.Recipe), "artifact": w.Name, "platform": string(w.Platform), "toolchain": s.Toolchain,
		"source": source,
	}
	if s.Data {
		fields["data"] = true
	}
	if w.Host != nil {
		addKind(fields, *w.Host)
	}
	return fields
}

// number returns the metadata field name when it is a whole number above 0, else 0.
func number(e netcache.Entry, name string) int64 {
	n, _ := e.Fields[name].(json.Number)
	i, err := n.Int64()
	if err != nil || i < 0 {
		return 0
	}
	return i
}
