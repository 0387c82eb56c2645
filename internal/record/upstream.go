package record

import (
	"io"

	"overland/internal/origin"
)

// Until every room says origin itself.
type (
	// Upstream asks origins.
	Upstream = origin.Client
	// Fetched is a whole answer of an origin.
	Fetched = origin.Answer
	// StatusError is an origin's answer other than success.
	StatusError = origin.StatusError
)

// DefaultLimit is the largest acceptable size of an Item that sets none, in bytes.
const DefaultLimit = origin.DefaultLimit

// Request returns how it is asked for at its origin.
func (it Item) Request() origin.Request {
	return origin.Request{
		URL: it.Upstream, Name: it.Key, Fallback: it.Fallback, Method: it.Method, Header: it.Header, Body: it.Body,
		Limit: it.Limit, Page: it.HTML,
	}
}

// RefusePage returns an error (errs.Unavailable) when body, which is rewound, is a web page in place of it.
func RefusePage(it Item, body io.ReadSeeker) error {
	if it.HTML {
		return nil
	}
	return origin.RefusePage(body)
}
