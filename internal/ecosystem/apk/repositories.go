package apk

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
)

const (
	etc               = "/etc/apk"
	repositoriesLimit = 1 << 20 // bytes of a repositories file
)

// Repository is an upstream: the URL of a repository or of a folder with several of them below it.
type Repository struct {
	URL  string // http or https
	Keys string // folder of the keys that may sign its indexes; "" = /etc/apk/keys
}

// MachineRepositories returns what dir/repositories and dir/repositories.d/*.list name, with the
// keys in dir/keys; "" stands for /etc/apk. Local ones are left out.
func MachineRepositories(dir string) ([]Repository, error) {
	dir = cmp.Or(dir, etc)
	more, err := filepath.Glob(filepath.Join(dir, "repositories.d", "*.list"))
	if err != nil {
		return nil, err
	}
	var all []Repository
	for _, file := range append([]string{filepath.Join(dir, "repositories")}, more...) {
		b, err := fsx.ReadFile(file, repositoriesLimit)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, fsx.ErrTooLong):
			return nil, errs.E(errs.Invalid, err)
		case err != nil:
			return nil, err
		}
		for _, u := range parseRepositories(string(b)) {
			all = append(all, Repository{URL: u, Keys: filepath.Join(dir, "keys")})
		}
	}
	return all, nil
}

// parseRepositories returns the http and https URLs of a repositories file: lines
// "[@tag] URL", "#" begins a comment.
func parseRepositories(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) > 1 && strings.HasPrefix(words[0], "@") {
			words = words[1:]
		}
		if len(words) == 1 && (strings.HasPrefix(words[0], "http://") || strings.HasPrefix(words[0], "https://")) {
			list = append(list, words[0])
		}
	}
	return list
}

// base is one upstream, and its name in keys.
type base struct {
	name string   // "alpine-v3.19-main", from the path
	uri  *url.URL // without a slash at the end
	keys string
}

func (b *base) path() string { return strings.TrimRight(b.uri.Path, "/") + "/" }

// bases returns what repositories name, by the names that they get in keys.
func bases(repositories []Repository) (map[string]*base, error) {
	var list []*base
	count := map[string]int{}
	for _, r := range repositories {
		u, err := url.Parse(strings.TrimRight(r.URL, "/"))
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
			return nil, errs.Errorf(errs.Invalid, "apk: repository %.100q is not an http or https URL", r.URL)
		}
		if slices.ContainsFunc(list, func(b *base) bool { return b.uri.String() == u.String() }) {
			continue
		}
		b := &base{name: shortName(u), uri: u, keys: r.Keys}
		if b.keys == "" {
			b.keys = filepath.Join(etc, "keys")
		}
		count[b.name]++
		list = append(list, b)
	}
	named := map[string]*base{}
	for _, b := range list {
		if b.name == "" || count[b.name] > 1 {
			b.name = strings.Trim(b.uri.Host+"-"+b.name, "-")
		}
		if old := named[b.name]; old != nil {
			return nil, errs.Errorf(errs.Invalid, "apk: %s and %s would both be called %s", httpx.RedactedURL(old.uri), httpx.RedactedURL(b.uri), b.name)
		}
		named[b.name] = b
	}
	return named, nil
}

// shortName returns the path of u as one word: mirrors mostly agree on it.
func shortName(u *url.URL) string {
	return strings.ReplaceAll(strings.Trim(path.Clean("/"+u.Path), "/"), "/", "-")
}

// ParseRepository reads "URL" or "[keys=/FOLDER] URL".
func ParseRepository(s string) (Repository, error) {
	var r Repository
	rest := strings.TrimSpace(s)
	if inner, ok := strings.CutPrefix(rest, "["); ok {
		option, after, closed := strings.Cut(inner, "]")
		if r.Keys, ok = strings.CutPrefix(option, "keys="); !ok || !closed || !filepath.IsAbs(r.Keys) {
			return r, errs.Hint(errs.Errorf(errs.Invalid, "apk: repository %.100q", s), "write it like [keys=/FOLDER] URL")
		}
		rest = strings.TrimSpace(after)
	}
	r.URL = rest
	if _, err := bases([]Repository{r}); err != nil {
		return r, fmt.Errorf("%.100q: %w", s, err)
	}
	return r, nil
}

// Find returns the repository of list that the keys of a lock call name; nil when there is none.
func Find(list []Repository, name string) (*Repository, error) {
	named, err := bases(list)
	if err != nil || named[name] == nil {
		return nil, err
	}
	return &Repository{URL: named[name].uri.String(), Keys: named[name].keys}, nil
}
