package site

import (
	"context"
	"errors"
	"log/slog"
)

// Info is what a person needs to know of a site.
type Info struct {
	Dir string
	Pin string // "sha256:HEX" of the certificate's public key
}

// URL returns the URL that nodes are given for the site when it listens on addr, an IP address and port.
func (i Info) URL(addr string) string { return "https://" + addr + "#" + i.Pin }

// Options are the settings of Run. The zero value works.
type Options struct {
	Listen string            // address and port; default ":8443"
	Log    *slog.Logger      // default: nothing is logged
	Ready  func(addr string) // called once with the address listened on, when requests are answered
}

// Init makes the site directory dir, or completes it, and returns what to tell nodes. Again changes nothing.
func Init(dir string) (Info, error) { return Info{}, errors.ErrUnsupported }

// URLs returns a URL for each address of this machine under which a site that listens on listen may be reached.
func (i Info) URLs(listen string) ([]string, error) { return nil, errors.ErrUnsupported }

// Run serves dir until ctx ends, then finishes the requests it is at. It calls Init first.
func Run(ctx context.Context, dir string, o Options) error { return errors.ErrUnsupported }
