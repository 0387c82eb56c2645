package netcache

import (
	"strings"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/netcache"
	"overland/internal/netcache/client"
	"overland/internal/operator"
)

// entryOptions are the settings that the verbs about entries have in common.
type entryOptions struct {
	config, key, url string
	binary           bool
	sha1, unbound    bool
	mutable          bool
}

func (o *entryOptions) flags(c *cobra.Command, reads bool) {
	f := c.Flags()
	f.StringVarP(&o.config, "config", "c", "slapos.cfg", "configuration with a section [networkcache]")
	f.StringVarP(&o.key, "key", "k", "", "key of the entry")
	f.StringVarP(&o.url, "url", "u", "", "URL that the file is from, in place of a key")
	f.BoolVar(&o.binary, "binary", false, "the binary cache: the URL is that of a software release")
	if reads {
		f.BoolVar(&o.sha1, "sha1", false, "trust the SHA-1 signatures of signature-certificate-list too")
		f.BoolVar(&o.unbound, "unbound", false, "with --sha1: also for entries that do not say which key they belong to")
	} else {
		f.BoolVar(&o.mutable, "mutable", false, "upload what a branch or \"latest\" had today, for good")
	}
}

// open returns the client, the key, and the metadata field that the URL is in.
func (o *entryOptions) open(t *term.Term) (c *client.Client, config netcache.Config, field string, err error) {
	if o.key != "" && o.url != "" {
		return nil, config, "", verb.Usage("a key and a URL are given: which one counts?")
	}
	config, err = ReadConfig(o.config)
	if err != nil {
		return nil, config, "", err
	}
	field = "url"
	if o.url != "" {
		o.key = netcache.URLKey(o.url)
		if o.binary {
			o.key, field = netcache.MD5(o.url), "software_url"
		}
	}
	c, err = client.New(config, client.Options{Binary: o.binary, SHA1: o.sha1, Unbound: o.unbound, Clock: t.Clock, State: State(t)})
	if err != nil {
		return nil, config, "", err
	}
	t.Warn(c.Warnings()...)
	return c, config, field, nil
}

// State returns the file in which the newest entries seen are
// remembered; "" without a site directory.
func State(t *term.Term) string {
	dir, err := t.SiteDir()
	if err != nil {
		return ""
	}
	return operator.NetcacheState(dir)
}

// ReadConfig returns the section [networkcache] of the file path.
func ReadConfig(path string) (netcache.Config, error) {
	f, err := fsx.Open(path)
	if err != nil {
		return netcache.Config{}, errs.Hint(errs.E(errs.Invalid, err), "-c FILE: a configuration with a section [networkcache]")
	}
	defer f.Close()
	c, err := netcache.ParseConfig(f)
	if err != nil && errs.HintOf(err) == "" {
		err = errs.Hint(err, "docs/format/shacache.md lists the options of %s", path)
	}
	return c, err
}

// blocked returns an error when the URL is on a blacklist of the binary cache.
func blocked(list netcache.Prefixes, url, option string) error {
	if prefix, ok := list.Match(url); ok && url != "" {
		return errs.Hint(errs.Errorf(errs.Denied, "%s is on the list %s", httpx.RedactedText(url), option), "take %s off that list", prefix)
	}
	return nil
}

func parseFilters(args []string) (list []netcache.Filter, err error) {
	for _, arg := range args {
		f, err := netcache.ParseFilter(arg)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

// parseFields reads NAME=VALUE arguments; a value that is a JSON list,
// object, string or word is one.
func parseFields(fields map[string]any, args []string) error {
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return errs.Hint(verb.Usage("%q is not metadata", arg), "NAME=VALUE")
		}
		fields[name] = netcache.ParseValue(value)
	}
	return nil
}
