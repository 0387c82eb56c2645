package netcache

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
)

const (
	configLimit   = 4 << 20
	defaultNameOf = "networkcache"
)

// Config is a [networkcache] section, in the names of its options.
type Config struct {
	DownloadCacheURL, DownloadDirURL             string
	UploadCacheURL, UploadDirURL                 string
	DownloadBinaryCacheURL, DownloadBinaryDirURL string
	UploadBinaryCacheURL, UploadBinaryDirURL     string

	SignatureCertificateList string // PEM; ParseCertificates reads it
	SignaturePrivateKeyFile  string
	SignatureCertificateFile string // only generate-signature-key uses it

	Shacache, Shadir TLSFiles

	DownloadBlacklist Prefixes // download-from-binary-cache-url-blacklist, else binary-cache-url-blacklist
	UploadBlacklist   Prefixes // upload-to-binary-cache-url-blacklist
	ForceList         Prefixes // download-from-binary-cache-force-url-list

	OverlandKeyList        string // overland-key-list: PEM public keys (Ed25519) whose statements are believed
	OverlandPrivateKeyFile string // overland-private-key-file: Ed25519, makes statements

	Warnings []string // for the person who wrote it
}

// TLSFiles name the files with which a service is spoken to over HTTPS.
type TLSFiles struct{ CA, Cert, Key string }

// fields returns where each option goes.
func (c *Config) fields() map[string]*string {
	return map[string]*string{
		"download-cache-url": &c.DownloadCacheURL, "download-dir-url": &c.DownloadDirURL,
		"upload-cache-url": &c.UploadCacheURL, "upload-dir-url": &c.UploadDirURL,
		"download-binary-cache-url": &c.DownloadBinaryCacheURL, "download-binary-dir-url": &c.DownloadBinaryDirURL,
		"upload-binary-cache-url": &c.UploadBinaryCacheURL, "upload-binary-dir-url": &c.UploadBinaryDirURL,
		"signature-certificate-list": &c.SignatureCertificateList,
		"signature-private-key-file": &c.SignaturePrivateKeyFile, "signature-certificate-file": &c.SignatureCertificateFile,
		"shacache-ca-file": &c.Shacache.CA, "shacache-cert-file": &c.Shacache.Cert, "shacache-key-file": &c.Shacache.Key,
		"shadir-ca-file": &c.Shadir.CA, "shadir-cert-file": &c.Shadir.Cert, "shadir-key-file": &c.Shadir.Key,
		"overland-key-list": &c.OverlandKeyList, "overland-private-key-file": &c.OverlandPrivateKeyFile,
	}
}

// ParseConfig reads the section [networkcache], or the one that networkcache-section in [buildout]
// names, of a configuration file as buildout and slapgrid have them. Unknown options and
// substitutions are warnings. A malformed URL, a private key in the certificate list, and a file
// without the section are errors (errs.Invalid).
func ParseConfig(r io.Reader) (Config, error) {
	c, err := parseConfig(r)
	if err != nil {
		return Config{}, errs.E(errs.Invalid, err)
	}
	return c, nil
}

func parseConfig(r io.Reader) (c Config, err error) {
	b, err := fsx.Read(r, "the configuration", configLimit)
	if err != nil {
		return c, err
	}
	sections, err := parseINI(string(b))
	if err != nil {
		return c, err
	}
	name := defaultNameOf
	if s := sections["buildout"]["networkcache-section"]; s != "" {
		name = s
	}
	section, ok := sections[name]
	if !ok {
		return c, fmt.Errorf("the configuration has no section [%s]", name)
	}
	if err := c.take(section); err != nil {
		return c, err
	}
	if sections["buildout"]["extends"] != "" {
		c.Warnings = append(c.Warnings, "extends: other profiles are not read here; options that are set there are missing")
	}
	c.defaults()
	return c, c.check()
}

func (c *Config) take(section map[string]string) error {
	fields := c.fields()
	lists := map[string]*Prefixes{
		"download-from-binary-cache-url-blacklist":  &c.DownloadBlacklist,
		"upload-to-binary-cache-url-blacklist":      &c.UploadBlacklist,
		"download-from-binary-cache-force-url-list": &c.ForceList,
	}
	old, names := "binary-cache-url-blacklist", make([]string, 0, len(section))
	for name := range section {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := section[name]
		if strings.Contains(value, "${") {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s: substitutions (${…}) are not made here", name))
		}
		switch {
		case fields[name] != nil:
			*fields[name] = value
		case lists[name] != nil:
			*lists[name] = prefixes(value)
		case name == old:
			c.Warnings = append(c.Warnings, old+" is deprecated: download-from-binary-cache-url-blacklist")
		default:
			c.Warnings = append(c.Warnings, name+" is not an option of the network cache")
		}
	}
	if _, set := section["download-from-binary-cache-url-blacklist"]; !set {
		c.DownloadBlacklist = prefixes(section[old])
	}
	return nil
}

func prefixes(s string) (list Prefixes) {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}

// defaults fills in the URLs that the SlapOS document's own section leaves out: the binary cache is
// the download cache and the other way round, and a directory is beside its cache.
func (c *Config) defaults() {
	either(&c.DownloadCacheURL, &c.DownloadBinaryCacheURL)
	either(&c.DownloadDirURL, &c.DownloadBinaryDirURL)
	for _, pair := range [][2]*string{
		{&c.DownloadCacheURL, &c.DownloadDirURL},
		{&c.DownloadBinaryCacheURL, &c.DownloadBinaryDirURL},
		{&c.UploadCacheURL, &c.UploadDirURL},
		{&c.UploadBinaryCacheURL, &c.UploadBinaryDirURL},
	} {
		if base, ok := strings.CutSuffix(strings.TrimSuffix(*pair[0], "/"), "/shacache"); ok && *pair[1] == "" {
			*pair[1] = base + "/shadir"
		}
	}
}

func either(a, b *string) {
	if *a == "" {
		*a = *b
	}
	if *b == "" {
		*b = *a
	}
}

func (c *Config) check() error {
	for name, value := range c.fields() {
		if !strings.HasSuffix(name, "-url") || *value == "" {
			continue
		}
		u, err := url.Parse(*value)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return fmt.Errorf("%s: not an http or https URL", name) // it may hold a password
		}
		// Queries and fragments are dropped, as the Python client does.
		u.RawQuery, u.Fragment, u.RawFragment = "", "", ""
		*value = u.String()
	}
	for _, text := range []string{c.SignatureCertificateList, c.OverlandKeyList} {
		if _, _, err := ParseCertificates(text); err != nil {
			return err
		}
	}
	return nil
}

// parseINI reads sections of options. As in Python, a line that is indented more than its option
// continues its value, so the whole may be indented, as the document prints it. "#" and ";" begin
// comments; "name += value" appends a line. Names are in lower case.
func parseINI(text string) (map[string]map[string]string, error) {
	sections := map[string]map[string]string{}
	var section map[string]string
	option, number, margin := "", 0, 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, " \t\r\n")
		trimmed := strings.TrimLeft(line, " \t")
		indent := len(line) - len(trimmed)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case option != "" && indent > margin:
			section[option] = strings.TrimPrefix(section[option]+"\n"+trimmed, "\n")
		case trimmed[0] == '[':
			end := strings.IndexByte(trimmed, ']')
			if end < 0 {
				return nil, fmt.Errorf("line %d: a section without its \"]\"", number)
			}
			name := strings.TrimSpace(trimmed[1:end])
			if sections[name] == nil {
				sections[name] = map[string]string{}
			}
			section, option = sections[name], ""
		case section == nil:
			return nil, fmt.Errorf("line %d: an option outside of a section", number)
		default:
			at := strings.IndexAny(trimmed, "=:")
			if at <= 0 {
				// Other sections may hold what only buildout understands; in ours
				// it is a mistake, and a warning.
				section[fmt.Sprintf("line %d", number)], option = "", ""
				continue
			}
			name, value := strings.ToLower(strings.TrimSpace(trimmed[:at])), strings.TrimSpace(trimmed[at+1:])
			plus := strings.HasSuffix(name, "+")
			name = strings.TrimSpace(strings.TrimRight(name, "+-"))
			if plus && section[name] != "" {
				value = section[name] + "\n" + value
			}
			section[name], option, margin = value, name, indent
		}
	}
	return sections, nil
}
