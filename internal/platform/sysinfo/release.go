package sysinfo

import (
	"strings"
)

const releaseLimit = 64 << 10 // bytes of os-release that are looked at

// release is what os-release says, in the spelling in which machines are compared.
type release struct{ id, version, codename string }

// osRelease reads the os-release of the file system at root.
func osRelease(root string) (release, error) {
	for _, path := range []string{"etc/os-release", "usr/lib/os-release"} {
		b, err := head(root, path, releaseLimit)
		if b != nil || err != nil {
			return parseRelease(string(b)), err
		}
	}
	return release{}, nil
}

// parseRelease reads os-release (freedesktop's os-release(5)).
func parseRelease(text string) release {
	v := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			v[name] = unquote(value)
		}
	}
	r := release{id: strings.ToLower(v["ID"]), version: v["VERSION_ID"], codename: v["VERSION_CODENAME"]}
	if r.codename == "" {
		r.codename = v["UBUNTU_CODENAME"]
	}
	if r.codename == "" {
		// As "12 (bookworm)", the way clients in Python read it.
		if _, rest, ok := strings.Cut(v["VERSION"], "("); ok {
			if name, _, ok := strings.Cut(rest, ")"); ok && !strings.ContainsAny(name, "0123456789") {
				r.codename = name
			}
		}
	}
	r.id, r.version = NormalRelease(r.id, r.version)
	if r.version == "" {
		r.version = v["BUILD_ID"] // "rolling"
	}
	if r.version == "" {
		r.version = r.codename // Debian's testing has no number
	}
	return r
}

// NormalRelease returns a system's name and release in the spelling in which machines are compared:
// the name in lower case, raspbian as debian, and of Debian's release the major number only: its
// point releases are one system.
func NormalRelease(id, version string) (string, string) {
	id = strings.ToLower(id)
	if id == "raspbian" {
		id = "debian"
	}
	if id == "debian" {
		version, _, _ = strings.Cut(version, ".")
	}
	return id, version
}

// unquote undoes the quotes of a shell: os-release knows "…" and '…' with \ before " $ ` \.
func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) < 2 || (s[0] != '"' && s[0] != '\'') || s[len(s)-1] != s[0] {
		return s
	}
	quote := s[0]
	s = s[1 : len(s)-1]
	if quote == '\'' {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
