package record

import (
	"net/http"
	"net/url"

	"overland/internal/errs"
)

// Keyed is a Protocol whose keys are not the paths of its requests.
type Keyed interface {
	// ItemOf returns the Item that has this key.
	ItemOf(key string) (Item, error)
}

// ItemOf returns the Item of p that has this key: errs.Invalid when none has.
func ItemOf(p Protocol, key string) (Item, error) {
	var it Item
	var err error
	if k, ok := p.(Keyed); ok {
		it, err = k.ItemOf(key)
	} else {
		it, err = p.Item(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/" + key}, Header: http.Header{}})
	}
	if err == nil && it.Key != key {
		err = errs.Errorf(errs.Invalid, "%s: %.200q is not a key", p.Name(), key)
	}
	return it, err
}
