package apt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"overland/internal/deb"
	"overland/internal/errs"
	"overland/internal/fsx"
)

const (
	sourcesLimit = 1 << 20 // bytes of one sources file
	etc          = "/etc/apt"
)

// optionName is what an option is called; apt ignores a field that it does not know.
var optionName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// Source is one entry of apt's sources (sources.list(5)): every URI has
// every suite with every component.
type Source struct {
	Types      []string // "deb", "deb-src"
	URIs       []string
	Suites     []string
	Components []string
	// SignedBy is apt's Signed-By: paths of keyrings, fingerprints, or keys in ASCII armour. ""
	// means apt's own trusted.gpg.d.
	SignedBy string
	// AnyDate is set by "Check-Valid-Until: no", as snapshots of the past need it: Valid-Until is
	// ignored.
	AnyDate bool
	// Options are the other fields, by their deb822 names in lower case; kept
	// so that Rewrite loses nothing.
	Options map[string]string

	Locked bool // of a lock, whose making has checked the signature
}

// fileName is what apt reads of sources.list.d; it ignores other
// names, for example x.list.disabled.
var fileName = regexp.MustCompile(`^[A-Za-z0-9_.-]+\.(list|sources)$`)

// MachineSources returns the entries of the sources of this machine, in apt's order. Entries that
// cannot be recorded (cdrom:, file: and the like) are among them; New leaves them out.
func MachineSources() ([]Source, error) { return ReadSources(etc) }

const sourcesList, sourcesParts = "sources.list", "sources.list.d"

// ReadSources returns the entries of sources.list and sources.list.d in dir.
func ReadSources(dir string) ([]Source, error) {
	return readAll(filepath.Join(dir, sourcesList), filepath.Join(dir, sourcesParts))
}

// readAll returns the entries of the file list, and of those in the folder parts.
func readAll(list, parts string) ([]Source, error) {
	names := []string{list}
	entries, err := os.ReadDir(parts)                                                      // sorted
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) { // people write /dev/null
		return nil, fmt.Errorf("read apt sources: %w", err)
	}
	for _, e := range entries {
		if fileName.MatchString(e.Name()) {
			names = append(names, filepath.Join(parts, e.Name()))
		}
	}
	var all []Source
	for _, name := range names {
		if name == os.DevNull { // as people say that there is none
			continue
		}
		some, err := readSources(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("read apt sources %s: %w", name, err)
		default:
			all = append(all, some...)
		}
	}
	return all, nil
}

func readSources(path string) ([]Source, error) {
	b, err := fsx.ReadFile(path, sourcesLimit)
	if errors.Is(err, fsx.ErrTooLong) {
		err = errs.E(errs.Invalid, err)
	}
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(path, ".sources") {
		return parseDeb822(b)
	}
	return parseList(b)
}

// parseDeb822 returns the entries of a .sources file; those with "Enabled: no" are left out.
func parseDeb822(b []byte) ([]Source, error) {
	var all []Source
	for d := deb.NewDecoder(bytes.NewReader(b)); ; {
		p, err := d.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		s := Source{
			Types: strings.Fields(p["types"]), URIs: strings.Fields(p["uris"]), Suites: strings.Fields(p["suites"]),
			Components: strings.Fields(p["components"]), Options: p,
		}
		if enabled, set := p["enabled"]; set && !truth(enabled) {
			continue
		}
		if err := s.complete(); err != nil {
			return nil, fmt.Errorf("line %d: %w", d.Line(), err)
		}
		all = append(all, s)
	}
}

// parseList returns the entries of a .list file: "deb [option=value …] uri suite [component …]".
func parseList(b []byte) ([]Source, error) {
	var all []Source
	for i, line := range strings.Split(string(b), "\n") {
		if strings.Contains(line, "\x00") {
			return nil, errs.Errorf(errs.Invalid, "line %d: a NUL byte", i+1)
		}
		line, _, _ = strings.Cut(line, "#")
		typ, rest, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "\t", " ")), " ")
		if typ == "" {
			continue
		}
		rest = strings.TrimSpace(rest)
		s := Source{Types: []string{typ}, Options: map[string]string{}}
		if inner, ok := strings.CutPrefix(rest, "["); ok {
			options, after, closed := strings.Cut(inner, "]")
			if !closed {
				return nil, errs.Errorf(errs.Invalid, "line %d: a [ without a ]", i+1)
			}
			rest = after
			for _, o := range strings.Fields(options) {
				name, value, ok := strings.Cut(o, "=")
				if !ok {
					return nil, errs.Errorf(errs.Invalid, "line %d: option %q has no value", i+1, o)
				}
				s.Options[longName(name)] = strings.ReplaceAll(value, ",", " ")
			}
		}
		words := strings.Fields(rest)
		if len(words) < 2 {
			return nil, errs.Errorf(errs.Invalid, "line %d: want type, URI and suite", i+1)
		}
		s.URIs, s.Suites, s.Components = words[:1], words[1:2], words[2:]
		if err := s.complete(); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// longName returns the deb822 name of a .list option.
func longName(name string) string {
	name, end := strings.ToLower(name), ""
	if base, ok := strings.CutSuffix(name, "+"); ok {
		name, end = base, "-add"
	} else if base, ok := strings.CutSuffix(name, "-"); ok {
		name, end = base, "-remove"
	}
	switch name {
	case "arch", "lang", "target":
		name = map[string]string{"arch": "architectures", "lang": "languages", "target": "targets"}[name]
	}
	return name + end
}

// complete checks s, and moves the options that have a field of their own into it.
func (s *Source) complete() error {
	for _, t := range s.Types {
		if t != "deb" && t != "deb-src" {
			return errs.Errorf(errs.Invalid, "type %q is neither deb nor deb-src", t)
		}
	}
	if len(s.Types) == 0 || len(s.URIs) == 0 || len(s.Suites) == 0 {
		return errs.Errorf(errs.Invalid, "an entry needs Types, URIs and Suites")
	}
	for _, suite := range s.Suites {
		if slices.Contains(strings.Split(suite, "/"), "..") {
			return errs.Errorf(errs.Invalid, "suite %q", suite)
		}
		if strings.HasSuffix(suite, "/") != (len(s.Components) == 0) {
			return errs.Errorf(errs.Invalid, "suite %q: a suite has components, a directory (name/) has none", suite)
		}
	}
	s.SignedBy = s.Options["signed-by"]
	if v, set := s.Options["check-valid-until"]; set {
		s.AnyDate = !truth(v)
	}
	rest := map[string]string{}
	for name, value := range s.Options {
		switch name {
		case "types", "uris", "suites", "components", "signed-by", "check-valid-until", "enabled":
		default:
			if optionName.MatchString(name) {
				rest[name] = value
			}
		}
	}
	s.Options = rest
	return nil
}

// truth reads a yes or no as apt does; anything else means yes.
func truth(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "no", "false", "without", "off", "disable", "0":
		return false
	}
	return true
}

// Find returns the first of sources whose archive is called name, as keys of a lock have it: "debian"; nil when
// there is none that can be recorded. Its first URI is that of the archive.
func Find(sources []Source, name string) *Source {
	for _, s := range sources {
		for _, raw := range s.URIs {
			if u, id := parseURI(raw); id != "" && !s.unproved() && shortName(u) == name {
				s.URIs = []string{raw}
				return &s
			}
		}
	}
	return nil
}
