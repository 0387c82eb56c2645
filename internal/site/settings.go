package site

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"overland/internal/ecosystem"
	"overland/internal/fsx"

	"overland/internal/appfile/yamlfile"
	"overland/internal/errs"
	"overland/internal/home"
)

// Settings are what site.yaml in a site directory says of how the site is served, and what may be
// released there.
// A flag of `site run` beats it.
type Settings struct {
	Format    int      // 1
	Listen    string   // address and port
	Names     []string // names and addresses by which clients reach the site
	Conns     int      // open at once, of each listener
	Trusted   []string // addresses and networks of proxies
	Upstreams []string // URLs of sites
	Root      string   // fingerprint of the root of trust whose metadata they are asked for
	Cache     CacheSettings
	Registry  RegistrySettings
	Isolation string // IsolationRequired, or "": of builds that are released here
}

// RegistrySettings are the settings of the registry in site.yaml.
type RegistrySettings struct {
	Pull       string   // anyone or accounts
	Delete     string   // refused or allowed
	Incomplete string   // refused or allowed
	Fixed      []string // patterns of repositories
	Untagged   string   // "14d" or forever
	Mirrors    map[string]MirrorSettings
	Unnamed    string // of Mirrors: whose images have no registry in their name
	Logins     string // a file, below the site's directory if it is relative, with logins for Mirrors
}

// MirrorSettings are the settings of another registry whose images are mirrored.
type MirrorSettings struct {
	URL         string // "" = https:// and its name
	Certificate string // a file, below the site's directory if it is relative, with certificates in PEM that are believed for it alone; "" = the machine's
}

// Options returns what s says of the site in dir.
func (s RegistrySettings) Options(dir string) RegistryOptions {
	o := RegistryOptions{Private: s.Pull == pullAccounts, Delete: s.Delete == allowed, Sparse: s.Incomplete == allowed, Fixed: s.Fixed, Unnamed: s.Unnamed}
	if days, err := strconv.Atoi(strings.TrimSuffix(s.Untagged, "d")); err == nil { // its form was checked
		o.Untagged = time.Duration(days) * 24 * time.Hour
	} else if s.Untagged != "" {
		o.Untagged = -1
	}
	below := func(file string) string {
		if file == "" || filepath.IsAbs(file) {
			return file
		}
		return filepath.Join(dir, file)
	}
	o.Logins = below(s.Logins)
	for _, name := range slices.Sorted(maps.Keys(s.Mirrors)) {
		m := Mirror{Name: name, URL: s.Mirrors[name].URL, Certificate: below(s.Mirrors[name].Certificate)}
		o.Mirrors = append(o.Mirrors, m)
	}
	return o
}

// Values of RegistrySettings.
const (
	pullAnyone   = "anyone"
	pullAccounts = "accounts"
	refused      = "refused"
	allowed      = "allowed"
)

// CacheSettings are the settings of the cache in site.yaml.
type CacheSettings struct {
	Listen    string
	Size      string              // "50GiB"
	Writes    string              // certificate or open
	Upstreams map[string][]string // by protocol
}

// IsolationRequired is a value of Settings.Isolation: what was built without isolation is not released.
const IsolationRequired = "required"

// Values of CacheSettings.Writes.
const (
	WritesByCertificate = "certificate"
	WritesOpen          = "open"
)

const settingsPage = "every key, with an example: docs/reference/site-yaml.md"

// ReadSettings returns the settings of the site in dir; the zero value when it has no site.yaml.
// What is wrong with the file is errs.Invalid, with line and column.
func ReadSettings(dir string) (Settings, error) {
	path := home.Settings.In(dir)
	b, err := fsx.ReadFile(path, yamlfile.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return Settings{}, nil
	}
	if err != nil {
		return Settings{}, fmt.Errorf("settings of the site: %w", err)
	}
	s, err := yamlfile.Read(b, path, settingsPage, settingsKeys())
	if err == nil && s.Listen != "" {
		_, _, err = parseListen(s.Listen)
	}
	if err == nil && s.Cache.Listen != "" {
		_, _, err = parseListen(s.Cache.Listen)
	}
	if err == nil {
		_, err = ParseProxies(s.Trusted)
	}
	if err != nil && errs.HintOf(err) == "" {
		err = errs.Hint(err, settingsPage)
	}
	return s, err
}

// SettingsSchema returns the JSON schema of site.yaml.
func SettingsSchema() []byte { return yamlfile.Document("site.yaml", settingsKeys()) }

var (
	addressForm     = regexp.MustCompile(`^\S*:[0-9]+$`)
	sizeForm        = regexp.MustCompile(`^[0-9]+ ?([KMGT]i?B?|B)?$`)
	siteForm        = regexp.MustCompile(`^https://\S+#sha256:[0-9a-f]{64}$`)
	fingerprintForm = regexp.MustCompile(`^\S{16,}$`)
	nameForm        = regexp.MustCompile(`^([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$`)
	proxyForm       = regexp.MustCompile(`^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$`)
	repositoryForm  = regexp.MustCompile(`^[a-z0-9._/*-]+$`)
	registryForm    = regexp.MustCompile(`^[a-z0-9]+([.-][a-z0-9]+)*(:[0-9]{1,5})?$`)
	registryURLForm = regexp.MustCompile(`^https?://[^\s/?#@]+/?$`)
	fileForm        = regexp.MustCompile(`^\S.*$`)
	untaggedForm    = regexp.MustCompile(`^([1-9][0-9]{0,3}d|forever)$`)
	upstreamForm    = regexp.MustCompile(`^\S.*$`)
)

func settingsKeys() []yamlfile.Key[Settings] {
	const mostConns = 1 << 20
	return []yamlfile.Key[Settings]{
		yamlfile.Number("site", "The version of this format: 1.", 1, 1, func(s *Settings) *int { return &s.Format }).Must(),
		yamlfile.Text("listen", "Address and port for HTTPS; :8443 without it.", addressForm, "write it like 10.0.0.1:8443 or :8443",
			func(s *Settings) *string { return &s.Listen }),
		yamlfile.List("names", "name", "Names and addresses by which clients reach the site, without a port; those of the machine itself need not be named.",
			nameForm, "write it like site.example.org or 203.0.113.7", func(s *Settings) *[]string { return &s.Names }),
		yamlfile.List("trustedProxies", "proxy", "Addresses of reverse proxies before the site: whom their X-Forwarded-For names is the client.",
			proxyForm, "write it like 10.0.0.5 or 10.0.0.0/24", func(s *Settings) *[]string { return &s.Trusted }),
		yamlfile.Number("connections", "Connections open at once on each listener, shared among clients, more wait; 4096 without it.", 1, mostConns,
			func(s *Settings) *int { return &s.Conns }),
		yamlfile.List("upstreams", "upstream", "URLs of sites, as nodes are given them, that are asked for what is not here, the nearest first.",
			siteForm, "write it like https://10.0.0.1:8443#sha256:PIN", func(s *Settings) *[]string { return &s.Upstreams }),
		yamlfile.Text("root", "Fingerprint of the root of trust whose metadata is fetched from upstreams.", fingerprintForm,
			"overland trust show prints it", func(s *Settings) *string { return &s.Root }),
		yamlfile.Nested("cache", "A cache of what the tools of other machines fetch, over plain HTTP; none without it.", cacheKeys(),
			func(s *Settings) *CacheSettings { return &s.Cache }),
		yamlfile.Nested("registry", "The registry of images, which is there without this too.", registryKeys(),
			func(s *Settings) *RegistrySettings { return &s.Registry }),
		yamlfile.OneOf("isolation", "required: no release is signed of what was built with --isolation none.", []string{IsolationRequired},
			func(s *Settings) *string { return &s.Isolation }),
	}
}

func registryKeys() []yamlfile.Key[RegistrySettings] {
	return []yamlfile.Key[RegistrySettings]{
		yamlfile.OneOf("pull", "Who may pull: anyone (without this key), or accounts that may.",
			[]string{pullAnyone, pullAccounts}, func(s *RegistrySettings) *string { return &s.Pull }),
		yamlfile.OneOf("delete", "Whether accounts that may can delete: refused (without this key) or allowed.",
			[]string{refused, allowed}, func(s *RegistrySettings) *string { return &s.Delete }),
		yamlfile.OneOf("incomplete", "Whether a manifest may point to what its repository does not have: refused (without this key) or allowed.",
			[]string{refused, allowed}, func(s *RegistrySettings) *string { return &s.Incomplete }),
		yamlfile.List("fixedTags", "repository", "Repositories whose tags stand for what they stood for first, for good: a name, or a pattern with * for a part of one.",
			repositoryForm, "write it like live/wallet or live/*", func(s *RegistrySettings) *[]string { return &s.Fixed }),
		yamlfile.Text("untagged", "How long a manifest stays that nothing holds and nobody asks for: 14d without it, or forever.", untaggedForm,
			"write it like 14d, or forever", func(s *RegistrySettings) *string { return &s.Untagged }),
		yamlfile.Table("mirrors", "Other registries whose images are pulled through this one, by the name that images have after them.", registryForm,
			"write it like hub.example or hub.example:5000", mirrorKeys(), mirrorURL("A registry, by its address."),
			func(s *RegistrySettings) *map[string]MirrorSettings { return &s.Mirrors }),
		yamlfile.Text("dockerMirrors", "The one of mirrors whose images docker pulls through this site as its registry-mirrors.", registryForm,
			"write it like hub.example", func(s *RegistrySettings) *string { return &s.Unnamed }),
		yamlfile.Text("logins", "A file in the form of docker's config.json with logins for mirrors; it needs pull: accounts.", fileForm,
			"write a path", func(s *RegistrySettings) *string { return &s.Logins }),
	}
}

func mirrorURL(doc string) yamlfile.Key[MirrorSettings] {
	return yamlfile.Text("url", doc, registryURLForm, "write it like https://hub.example", func(s *MirrorSettings) *string { return &s.URL })
}

func mirrorKeys() []yamlfile.Key[MirrorSettings] {
	return []yamlfile.Key[MirrorSettings]{
		mirrorURL("Its address; https:// and its name without it."),
		yamlfile.Text("certificate", "A file with certificates in PEM that are believed for it, in place of the machine's.", fileForm,
			"write a path", func(s *MirrorSettings) *string { return &s.Certificate }),
	}
}

func cacheKeys() []yamlfile.Key[CacheSettings] {
	return []yamlfile.Key[CacheSettings]{
		yamlfile.Text("listen", "Address and port for plain HTTP, which only your machines should reach.", addressForm,
			"write it like 10.0.0.1:3142", func(s *CacheSettings) *string { return &s.Listen }),
		yamlfile.Text("size", "Above this size, what was fetched for others and not used for longest is evicted; no limit without it.",
			sizeForm, "write it like 50GiB", func(s *CacheSettings) *string { return &s.Size }),
		yamlfile.OneOf("writes", "Who may write to the network cache: certificate (by netcache/policy.json) or open.",
			[]string{WritesByCertificate, WritesOpen}, func(s *CacheSettings) *string { return &s.Writes }),
		yamlfile.Nested("upstreams", "Where each protocol fetches from, in place of what this machine's tools are configured for.",
			protocolKeys(), func(s *CacheSettings) *map[string][]string { return &s.Upstreams }),
	}
}

// protocolKeys is a key for each protocol that has upstreams.
func protocolKeys() (list []yamlfile.Key[map[string][]string]) {
	names := []string{}
	for _, t := range ecosystem.Table() {
		names = append(names, t.Name)
	}
	for _, name := range append(names, shacacheName, shadirName) {
		var urls []string
		k := yamlfile.List(name, "upstream", "Upstreams of "+name+", as --cache-upstream takes them.", upstreamForm, "write a URL",
			func(*map[string][]string) *[]string { return &urls })
		k = k.Then(func(_ *yamlfile.Decoder, _ yamlfile.Node, to *map[string][]string) {
			if *to == nil {
				*to = map[string][]string{}
			}
			(*to)[name] = urls
		})
		list = append(list, k)
	}
	return list
}

// ParseProxies returns the networks in texts: "10.0.0.5" or "10.0.0.0/24".
func ParseProxies(texts []string) (list []netip.Prefix, err error) {
	for _, s := range texts {
		p, err := netip.ParsePrefix(s)
		if ip, ierr := netip.ParseAddr(s); ierr == nil {
			p, err = ip.Prefix(ip.BitLen())
		}
		if err != nil {
			return nil, errs.E(errs.Invalid, fmt.Errorf("trustedProxies %q: %w", s, err))
		}
		list = append(list, p.Masked())
	}
	return list, nil
}
