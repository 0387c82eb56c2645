package apt

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	"overland/internal/errs"
	"overland/internal/httpx"
)

// archive is one upstream: all sources with the same URI; http and https are the same
// here, and the first one counts.
type archive struct {
	name   string   // in keys, "debian-security"
	uri    *url.URL // without a slash at the end
	suites []*suite // that sources name; never changed once the protocol is there

	mu     sync.Mutex
	others map[string]*suite // that were asked for, by name
}

// othersLimit is how many suites of an archive may be asked for that no source names.
const othersLimit = 64

// other returns the suite called name that no source names: it has the keys of those that sources name,
// if these agree. nil when it cannot be told who signs it.
func (a *archive) other(name string) *suite {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.others[name]; s != nil || len(a.suites) == 0 || len(a.others) >= othersLimit {
		return s
	}
	s := &suite{name: name, components: []string{"main"}, signedBy: a.suites[0].signedBy, anyDate: a.suites[0].anyDate}
	for _, m := range a.suites {
		if m.flat || m.signedBy != s.signedBy {
			return nil
		}
		s.anyDate = s.anyDate && m.anyDate
	}
	s.dir, _ = suiteDir(name)
	if a.others == nil {
		a.others = map[string]*suite{}
	}
	a.others[name] = s
	return s
}

// all returns the suites of a: those that sources name, and others that were asked for, by name.
func (a *archive) all() []*suite {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := slices.Clone(a.suites)
	for _, name := range slices.Sorted(maps.Keys(a.others)) {
		list = append(list, a.others[name])
	}
	return list
}

// suite is one distribution of an archive, or the directory of a flat one.
type suite struct {
	name       string // as the source has it: "bookworm"; "" when it is a directory
	dir        string // of its InRelease, below the archive: "dists/bookworm"; "" is the archive itself
	flat       bool
	components []string
	signedBy   string
	anyDate    bool
}

// archives returns what sources name, by the names that they get in keys, and
// the URIs that this protocol does not speak.
func archives(sources []Source) (map[string]*archive, []string, error) {
	byURI := map[string]*archive{}
	var order, skipped []string
	for _, s := range sources {
		for _, raw := range s.URIs {
			u, id := parseURI(raw)
			if id == "" || s.unproved() {
				skipped = append(skipped, raw)
				continue
			}
			a := byURI[id]
			if a == nil {
				a = &archive{uri: u}
				byURI[id] = a
				order = append(order, id)
			}
			for _, name := range s.Suites {
				if err := a.add(name, s); err != nil {
					return nil, nil, fmt.Errorf("apt source %s: %w", httpx.RedactedURL(u), err)
				}
			}
		}
	}
	count := map[string]int{}
	for _, id := range order {
		count[shortName(byURI[id].uri)]++
	}
	named := map[string]*archive{}
	for _, id := range order {
		a := byURI[id]
		if a.name = shortName(a.uri); a.name == "" || count[a.name] > 1 {
			a.name = strings.Trim(a.uri.Host+"-"+a.name, "-")
		}
		if named[a.name] != nil {
			return nil, nil, errs.Errorf(errs.Invalid, "apt sources: %s and %s would both be called %s",
				httpx.RedactedURL(named[a.name].uri), httpx.RedactedURL(a.uri), a.name)
		}
		named[a.name] = a
	}
	return named, skipped, nil
}

// unproved reports whether apt is told to take what the source has as it comes: nothing proves it.
func (s Source) unproved() bool {
	v, set := s.Options["trusted"]
	return set && truth(v) && !s.Locked
}

// parseURI returns the URI raw of a source, without a slash at the end, and what is the same for
// all URIs of one archive; "" when it is neither http nor https.
func parseURI(raw string) (u *url.URL, id string) {
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, ""
	}
	return u, u.Host + u.Path
}

// shortName returns the path of u as one word: mirrors of one archive mostly agree on it.
func shortName(u *url.URL) string {
	return strings.NewReplacer("/", "-", "~", "-").Replace(strings.Trim(path.Clean("/"+u.Path), "/"))
}

// add adds the suite called name of s to a.
func (a *archive) add(name string, s Source) error {
	n := &suite{name: name, components: s.Components, signedBy: s.SignedBy, anyDate: s.AnyDate}
	if n.dir, n.flat = suiteDir(name); n.flat {
		n.name = ""
	}
	for _, old := range a.suites {
		if old.dir != n.dir {
			continue
		}
		if old.signedBy != n.signedBy {
			return errs.Hint(errs.Errorf(errs.Invalid, "two values of Signed-By for %s", name), "apt refuses that too: make them equal")
		}
		for _, c := range n.components {
			if !slices.Contains(old.components, c) {
				old.components = append(slices.Clone(old.components), c)
			}
		}
		old.anyDate = old.anyDate && n.anyDate
		return nil
	}
	a.suites = append(a.suites, n)
	return nil
}

// suiteDir returns the directory, below its archive, of what a source calls name, and
// whether its archive is a flat one.
func suiteDir(name string) (dir string, flat bool) {
	if strings.HasSuffix(name, "/") {
		return strings.Trim(path.Clean("/"+name), "/"), true
	}
	return path.Join("dists", name), false
}

// suiteOf returns the suite that the path rel belongs to, and the rest of rel below its directory;
// nil when rel is of the pool. The longest directory wins.
func (a *archive) suiteOf(rel string) (*suite, string) {
	var best *suite
	rest := ""
	for _, s := range a.suites {
		below, ok := rel, true
		if s.dir != "" {
			below, ok = strings.CutPrefix(rel, s.dir+"/")
		}
		if ok && (best == nil || len(s.dir) > len(best.dir)) {
			best, rest = s, below
		}
	}
	return best, rest
}

// Sources returns the sources for an apt that goes through a proxy of ours: a deb822 file
// (x.sources). Their URIs stay as they are, which preferences may name; a replay, which comes
// later, does not check Valid-Until.
func (p *Protocol) Sources() string {
	var b strings.Builder
	for _, s := range p.sources {
		fields := map[string]string{
			"types": strings.Join(s.Types, " "), "uris": strings.Join(s.URIs, " "), "suites": strings.Join(s.Suites, " "),
			"components": strings.Join(s.Components, " "), "signed-by": s.SignedBy,
		}
		if s.AnyDate || p.locked {
			fields["check-valid-until"] = "no"
		}
		maps.Copy(fields, s.Options)
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if v := fields[name]; v != "" {
				fmt.Fprintf(&b, "%s: %s\n", name, strings.ReplaceAll(v, "\n", "\n "))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
