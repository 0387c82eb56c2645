package site

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"

	"overland/internal/auth"
	"overland/internal/db"
	"overland/internal/digest"
	"overland/internal/ecosystem/oci"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/origin"
	"overland/internal/registry"
	registryface "overland/internal/server/registry"
	storedir "overland/internal/store/dir"
)

// RegistryOptions are the settings of a site's registry. In the zero value everybody may pull, and
// accounts may push what they were given.
type RegistryOptions struct {
	Private bool     // nobody pulls without an account
	Delete  bool     // accounts may delete what they were given
	Sparse  bool     // a manifest may point to what its repository does not have
	Fixed   []string // patterns of repositories whose tags never move

	Untagged time.Duration // how long a manifest stays that nothing holds; 0 = registry.UntaggedLife, less = for good

	Mirrors []Mirror // other registries whose images are pulled through this one
	Unnamed string   // the one of Mirrors whose images docker asks for, under their names alone; "" = none
	Logins  string   // a file with logins for Mirrors, as oci.ReadLogin takes it; only where Private; "" = none
}

// Mirror is another registry whose images are mirrored.
type Mirror struct {
	Name        string // as images are called after it
	URL         string // where it is; "" = https:// and its name
	Certificate string // a file with certificates that are believed for it, in PEM; "" = the machine's
}

// images is a site's registry.
type images struct {
	registry *registry.Registry
	known    *db.DB
	o        Options
	mirrored *registryface.Mirrored
	private  *private // the depot without the images that are for accounts; nil = there are none
}

// openImages opens the registry of the site in dir, whose bytes are in blobs. known is the site's database.
func openImages(dir string, blobs *storedir.Store, known *db.DB, o Options) (*images, error) {
	r, err := registry.Open(blobs, known, registry.Options{
		Delete: o.Images.Delete, Sparse: o.Images.Sparse, Fixed: o.Images.Fixed, Untagged: o.Images.Untagged, Log: o.Log,
		Named: func(ctx context.Context) (map[digest.Digest]bool, error) {
			tags, err := blobs.Tags(ctx)
			if err != nil {
				return nil, err
			}
			return named(ctx, dir, blobs, tags)
		},
	})
	if err != nil {
		return nil, err
	}
	i := &images{registry: r, known: known, o: o}
	if o.Images.Private {
		i.private = &private{Opener: blobs, dir: dir, blobs: blobs, known: known}
	}
	return i, nil
}

// route returns what the registry answers over HTTPS, or over plain HTTP, where no login is taken. It knows its
// accounts itself.
func (i *images) route(secure bool) Route {
	o := registryface.Options{Mirrored: i.mirrored, Log: i.o.Log}
	if !i.o.Images.Private {
		o.Anyone = []auth.Grant{{Action: auth.Pull, Pattern: "**"}}
	}
	if secure {
		o.Accounts = auth.Open(i.known)
	}
	return Route{registryface.Prefix, Anyone, registryface.New(i.registry, o)}
}

// open returns the protocol of the registries that are mirrored, which asks with up; nil = there are none.
func (o RegistryOptions) open(up *origin.Client) (*oci.Protocol, error) {
	if len(o.Mirrors) == 0 {
		return nil, nil
	}
	if o.Logins != "" && !o.Private {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "logins: what is fetched with a login is not for everybody"), "set pull: accounts")
	}
	var list []oci.Registry
	up.Roots = map[string]*x509.CertPool{}
	for _, m := range o.Mirrors {
		m.URL = cmp.Or(m.URL, "https://"+m.Name)
		r := oci.Registry{Name: m.Name, URL: m.URL}
		if o.Logins != "" {
			r.Login = func() (oci.Login, bool, error) { return oci.ReadLogin(o.Logins, m.Name, m.URL) }
			if _, ok, err := r.Login(); err != nil {
				return nil, err
			} else if !ok {
				r.Login = nil // it may stand at an address without TLS
			}
		}
		list = append(list, r)
		if m.Certificate == "" {
			continue
		}
		text, err := fsx.ReadFile(m.Certificate, certificateLimit)
		if err != nil {
			return nil, fmt.Errorf("registry %s: %w", m.Name, err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, errs.Errorf(errs.Invalid, "registry %s: %s: not a certificate in PEM", m.Name, m.Certificate)
		}
		u, err := url.Parse(m.URL)
		if err != nil {
			return nil, errs.Errorf(errs.Invalid, "registry %s: %w", m.Name, err)
		}
		up.Roots[u.Host] = roots
	}
	p, err := oci.New(up, list...)
	if err == nil && o.Unnamed != "" && !p.Mirrors(o.Unnamed) {
		err = errs.Hint(errs.Errorf(errs.Invalid, "dockerMirrors: %.100q is not one of mirrors", o.Unnamed), "name it below mirrors too")
	}
	return p, err
}

const certificateLimit = 1 << 20 // bytes of a file with certificates

// Accounts are the accounts of a site, opened to change them; a running site sees the changes.
type Accounts struct {
	*auth.Accounts
	facts *db.DB
}

// Close closes the database of the site.
func (a *Accounts) Close() error { return a.facts.Close() }

// OpenAccounts opens the accounts of the site in dir. The caller closes them.
func OpenAccounts(ctx context.Context, dir string) (*Accounts, error) {
	if err := refuseOther(dir); err != nil {
		return nil, err
	}
	known, err := openFacts(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &Accounts{auth.Open(known), known}, nil
}

// Repository is what the registry has under a name.
type Repository struct {
	Name string   `json:"name"`
	Tags []string `json:"tags"`
}

// Repositories returns what the registry of the site in dir has.
func Repositories(ctx context.Context, dir string) (list []Repository, err error) {
	if err := refuseOther(dir); err != nil {
		return nil, err
	}
	known, err := openFacts(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, known.Close()) }()
	blobs, err := storedir.Open(home.Depot.In(dir), storedir.Options{})
	if err != nil {
		return nil, err
	}
	r, err := registry.Open(blobs, known, registry.Options{})
	if err != nil {
		return nil, err
	}
	return repositories(ctx, r)
}

// repositories returns all that r has.
func repositories(ctx context.Context, r *registry.Registry) ([]Repository, error) {
	const page = 1000
	found := []Repository{}
	for last := ""; ; {
		names, err := r.Repositories(ctx, last, page)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			one := Repository{Name: name, Tags: []string{}}
			for after, more := "", true; more; {
				tags, err := r.Tags(ctx, registry.Name(name), after, page)
				if err != nil {
					return nil, err
				}
				if one.Tags = append(one.Tags, tags...); len(tags) > 0 {
					after = tags[len(tags)-1]
				}
				more = len(tags) == page
			}
			found, last = append(found, one), name
		}
		if len(names) < page {
			return found, nil
		}
	}
}
