package apt

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"overland/internal/record"
)

// lockedURI stands for what a lock does not name, for nobody needs it: where an archive is.
const lockedURI = "http://locked.invalid/"

// LockedSources returns the sources that a replay of l needs: the archives, suites, components and architectures that
// were recorded, wherever it runs. The signature of a suite is checked by apt again where one of this machine's own
// sources, known, says with which keys; elsewhere the lock, made after such a check, is what apt trusts.
func LockedSources(l *record.Lock, known []Source) []Source {
	mine, _, err := archives(known)
	if err != nil {
		mine = nil // the replay does not need them
	}
	suites := map[string]*lockedSuite{}
	for _, e := range l.Entries {
		if name, rel, _ := strings.Cut(e.Key, "/"); e.Protocol == "apt" && e.Exists() && path.Base(rel) == "InRelease" {
			dir := strings.TrimSuffix(strings.TrimSuffix(rel, "InRelease"), "/")
			suites[path.Join(name, dir)] = &lockedSuite{archive: name, dir: dir}
		}
	}
	for _, e := range l.Entries {
		if e.Protocol != "apt" || !e.Exists() {
			continue
		}
		for dir := path.Dir(e.Key); dir != "."; dir = path.Dir(dir) { // the longest first
			if s := suites[dir]; s != nil {
				s.add(strings.TrimPrefix(e.Key, dir+"/"))
				break
			}
		}
	}
	var list []Source
	for _, id := range slices.Sorted(maps.Keys(suites)) {
		s := suites[id].source()
		if len(s.Types) == 0 {
			continue // nothing of it was asked for
		}
		s.Options["trusted"] = "yes"
		if a := mine[suites[id].archive]; a != nil {
			at := slices.IndexFunc(a.suites, func(m *suite) bool { return m.dir == suites[id].dir })
			if at >= 0 {
				s.SignedBy = a.suites[at].signedBy
				delete(s.Options, "trusted")
			}
		}
		list = append(list, s)
	}
	return list
}

// lockedSuite is what a lock tells of a suite.
type lockedSuite struct {
	archive, dir                     string
	types, components, architectures []string
}

// add takes in the index at rest below the suite's directory, if it is one.
func (s *lockedSuite) add(rest string) {
	_, named := s.suite()
	if !named {
		switch { // by-hash does not tell: apt passes over what is not there
		case strings.HasPrefix(rest, "Packages"), strings.HasPrefix(rest, "by-hash/"):
			s.types = union(s.types, "deb")
		case strings.HasPrefix(rest, "Sources"):
			s.types = union(s.types, "deb-src")
		}
		return
	}
	elements := strings.Split(rest, "/")
	for i, e := range elements {
		arch, binary := strings.CutPrefix(e, "binary-")
		switch {
		case i == 0:
			continue // a component
		case binary:
			s.types = union(s.types, "deb")
			if arch != "all" { // apt asks for it where there is one
				s.architectures = union(s.architectures, arch)
			}
		case e == "source":
			s.types = union(s.types, "deb-src")
		default:
			continue
		}
		s.components = union(s.components, strings.Join(elements[:i], "/"))
		return
	}
}

// suite returns the name that a source has for it; false for the directory of a flat archive.
func (s *lockedSuite) suite() (string, bool) {
	if name, ok := strings.CutPrefix(s.dir, "dists/"); ok {
		return name, true
	}
	return cmp.Or(s.dir, ".") + "/", false
}

func (s *lockedSuite) source() Source {
	name, _ := s.suite()
	return Source{
		Types: s.types, URIs: []string{lockedURI + s.archive}, Suites: []string{name}, Components: s.components,
		Options: map[string]string{"architectures": strings.Join(s.architectures, " ")},
	}
}

// union returns list with s.
func union(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
