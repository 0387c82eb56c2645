package netcache

import (
	"testing"

	"overland/internal/cli/verb/verbtest"
)

func TestOptions(t *testing.T) {
	verbtest.Options(t, upload, verbtest.Case[uploadOptions]{
		Args: []string{"f", "-u", "http://origin.example/a", "--binary", "--mutable", "-m", "meta.json", "-c", "x.cfg", "n=1"},
		Want: uploadOptions{
			entryOptions: entryOptions{config: "x.cfg", url: "http://origin.example/a", binary: true, mutable: true}, file: "f", meta: "meta.json", fields: []string{"n=1"},
		},
	})
	verbtest.Options(t, download, verbtest.Case[downloadOptions]{
		Args: []string{"-k", "a", "-o", "out", "--sha1", "--unbound", "n==1"},
		Want: downloadOptions{
			entryOptions: entryOptions{config: "slapos.cfg", key: "a", sha1: true, unbound: true}, output: "out", conditions: []string{"n==1"},
		},
	}, verbtest.Case[downloadOptions]{
		Args: []string{"-u", "http://origin.example/a", "-o", "out", "--origin", "--sha256", "00"},
		Want: downloadOptions{
			entryOptions: entryOptions{config: "slapos.cfg", url: "http://origin.example/a"}, output: "out", origin: true, sum: "00", conditions: []string{},
		},
	})
	verbtest.Options(t, list, verbtest.Case[listOptions]{
		Args: []string{"-k", "a", "--json"}, Want: listOptions{entryOptions: entryOptions{config: "slapos.cfg", key: "a"}, json: true, conditions: []string{}},
	})
	verbtest.Options(t, generateKey,
		verbtest.Case[keyOptions]{Args: []string{"x.cfg"}, Want: keyOptions{file: "x.cfg"}},
		verbtest.Case[keyOptions]{
			Args: []string{"k", "COMP-1", "--cert-file", "c", "--ed25519"}, Want: keyOptions{file: "k", name: "COMP-1", cert: "c", ed25519: true},
		},
	)
	verbtest.Options(t, audit,
		verbtest.Case[auditOptions]{Want: auditOptions{limit: 100}},
		verbtest.Case[auditOptions]{Args: []string{"--limit", "5", "--json"}, Want: auditOptions{limit: 5, json: true}},
	)
}
