package apt

import (
	"cmp"
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"overland/internal/deb"
	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/lockfile"
	"overland/internal/store"
)

// lockedURI stands for the address of an archive, which a lock does not
// have and a replay does not need.
const lockedURI = "http://locked.invalid/"

// LockedSources returns the sources that a replay of l needs, on any machine: the archives,
// suites, components, architectures and languages that were recorded. b has the blobs of l: an
// InRelease gives the names of what was requested by digest. If one of this machine's own sources,
// known, has the keys of a suite, apt checks its signature again; otherwise apt trusts the lock,
// which was made after such a check.
func LockedSources(ctx context.Context, l *lockfile.Lock, b store.Opener, known []Source) []Source {
	mine, _, err := archives(known)
	if err != nil {
		mine = nil // the replay does not need them
	}
	suites := map[string]*lockedSuite{}
	for _, e := range l.Entries {
		if name, rel, _ := strings.Cut(e.Key, "/"); e.Protocol == "apt" && e.Exists() && path.Base(rel) == "InRelease" {
			dir := strings.TrimSuffix(strings.TrimSuffix(rel, "InRelease"), "/")
			suites[path.Join(name, dir)] = &lockedSuite{archive: name, dir: dir, release: e.Blob}
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
	places := places(known, mine)
	byPlace := func(a, b string) int {
		return cmp.Or(cmp.Compare(places[a], places[b]), cmp.Compare(a, b))
	}
	for _, id := range slices.SortedFunc(maps.Keys(suites), byPlace) {
		s := suites[id].source()
		if len(s.Types) == 0 {
			continue // nothing of it was asked for
		}
		s.Options["languages"] = suites[id].languages(ctx, b)
		s.Options["trusted"] = "yes"
		s.Locked = true
		if a := mine[suites[id].archive]; a != nil {
			if shortName(a.uri) == a.name {
				s.URIs = []string{a.uri.String()} // preferences may name it
			}
			at := slices.IndexFunc(a.suites, func(m *suite) bool { return m.dir == suites[id].dir })
			if at >= 0 {
				s.SignedBy = a.suites[at].signedBy
				delete(s.Options, "trusted")
			}
		}
		list = append(list, s)
	}
	return append(list, plainSources(l, known, func(archive, dir string) bool { return suites[path.Join(archive, dir)] != nil })...)
}

// plainSources returns the suites of known of which l has something as plain URLs: those that apt
// trusts without a signature, or whose signature is a file of its own. proved says which are in l.
func plainSources(l *lockfile.Lock, known []Source, proved func(archive, dir string) bool) (list []Source) {
	mine, _, err := archives(known)
	if err != nil {
		return nil
	}
	for _, s := range known {
		for _, raw := range s.URIs {
			u, id := parseURI(raw)
			if id == "" {
				continue
			}
			own := s
			own.URIs, own.Suites = []string{raw}, nil
			for _, name := range s.Suites {
				dir, _ := suiteDir(name)
				at := u.JoinPath(dir).String()
				isProved := slices.ContainsFunc(slices.Collect(maps.Values(mine)), func(a *archive) bool {
					return a.uri.Host+a.uri.Path == id && proved(a.name, dir)
				})
				if !isProved && slices.ContainsFunc(l.Entries, func(e lockfile.Entry) bool { return e.Protocol != Name && strings.HasPrefix(e.Key, at+"/") }) {
					own.Suites = append(own.Suites, name)
				}
			}
			if len(own.Suites) == 0 {
				continue
			}
			own.Options = map[string]string{"targets": "Packages Sources Translations"} // apt's tastes here are no part of the lock
			if !slices.ContainsFunc(l.Entries, func(e lockfile.Entry) bool {
				return strings.HasPrefix(e.Key, u.String()+"/") && strings.Contains(e.Key, "/Translation-")
			}) {
				own.Options["languages"] = "none"
			}
			maps.Copy(own.Options, s.Options)
			list = append(list, own)
		}
	}
	return list
}

// places returns in which order apt knows the suites of mine, by archive and
// directory: negative numbers, for all others come later. Of a package that two of
// them have, apt takes the first one's.
func places(known []Source, mine map[string]*archive) map[string]int {
	const all = 1 << 30
	list := map[string]int{}
	for _, s := range known {
		for _, raw := range s.URIs {
			_, id := parseURI(raw)
			for name, a := range mine {
				for _, suite := range s.Suites {
					dir, _ := suiteDir(suite)
					if at := path.Join(name, dir); a.uri.Host+a.uri.Path == id && list[at] == 0 {
						list[at] = len(list) - all
					}
				}
			}
		}
	}
	return list
}

// lockedSuite is what a lock tells of a suite.
type lockedSuite struct {
	archive, dir                     string
	release                          digest.Digest
	types, components, architectures []string
	translations                     []string // below dir
	others                           bool     // indexes that are neither of packages nor of sources, nor translations
}

// add takes in the index at rest below the suite's directory, if it is one.
func (s *lockedSuite) add(rest string) {
	_, named := s.suite()
	if !named {
		switch { // by-hash makes no difference: apt skips what is missing
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
		case e == "i18n":
			s.translations = append(s.translations, rest)
		default:
			s.others = s.others || e == "dep11" || e == "cnf" || strings.HasPrefix(e, "Contents-")
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
	out := Source{
		Types: s.types, URIs: []string{lockedURI + s.archive}, Suites: []string{name}, Components: s.components,
		Options: map[string]string{"architectures": strings.Join(s.architectures, " ")},
	}
	if !s.others { // what else this machine's apt is configured for was not recorded
		out.Options["targets"] = "Packages Sources Translations"
	}
	return out
}

// languages returns the languages of the translations; "" when they cannot be known.
func (s *lockedSuite) languages(ctx context.Context, b store.Opener) string {
	if len(s.translations) == 0 {
		return "none"
	}
	r, err := openRelease(ctx, b, s.release)
	if err != nil {
		return "" // the replay will report it
	}
	var list []string
	for _, rest := range s.translations {
		for _, name := range r.Names(rest) {
			if lang, ok := strings.CutPrefix(path.Base(name), "Translation-"); ok {
				lang, _, _ = strings.Cut(lang, ".")
				list = union(list, lang)
			}
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func openRelease(ctx context.Context, b store.Opener, d digest.Digest) (*deb.Release, error) {
	f, err := b.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := fsx.Read(store.Once(f), "InRelease", deb.ReleaseLimit)
	if err != nil {
		return nil, err
	}
	if text, err = deb.SignedText(text); err != nil {
		return nil, err
	}
	return deb.ParseRelease(text)
}

// union returns list with s.
func union(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
