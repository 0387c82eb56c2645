package site

import (
	"context"
	"errors"

	"overland/internal/auth"
	"overland/internal/db"
	"overland/internal/home"
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
}

// images is a site's registry.
type images struct {
	registry *registry.Registry
	full     *registryface.Face // over HTTPS
	plain    *registryface.Face // over plain HTTP, where no login is taken
}

// openImages opens the registry whose bytes are in blobs. known is the site's database.
func openImages(blobs *storedir.Store, known *db.DB, o Options) (*images, error) {
	r, err := registry.Open(blobs, known, registry.Options{Delete: o.Images.Delete, Sparse: o.Images.Sparse, Fixed: o.Images.Fixed, Log: o.Log})
	if err != nil {
		return nil, err
	}
	var anyone []auth.Grant
	if !o.Images.Private {
		anyone = []auth.Grant{{Action: auth.Pull, Pattern: "**"}}
	}
	return &images{
		registry: r,
		full:     registryface.New(r, registryface.Options{Accounts: auth.Open(known), Anyone: anyone, Log: o.Log}),
		plain:    registryface.New(r, registryface.Options{Anyone: anyone, Log: o.Log}),
	}, nil
}

// route returns what the registry answers. It knows its accounts itself.
func (i *images) route(secure bool) Route {
	if secure {
		return Route{registryface.Prefix, Anyone, i.full}
	}
	return Route{registryface.Prefix, Anyone, i.plain}
}

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
