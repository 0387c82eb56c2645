package image

import (
	"testing"

	"overland/internal/cli/verb/verbtest"
)

func TestOptions(t *testing.T) {
	verbtest.Options(t, save,
		verbtest.Case[saveOptions]{Args: []string{"a@r1.b"}, Want: saveOptions{release: "a@r1.b", format: "docker"}},
		verbtest.Case[saveOptions]{
			Args: []string{"a@r1.b", "--image", "i", "--platform", "linux/amd64", "--for", "oci", "-o", "f"},
			Want: saveOptions{release: "a@r1.b", image: "i", platforms: []string{"linux/amd64"}, format: "oci", out: "f"},
		},
	)
	verbtest.Options(t, push,
		verbtest.Case[pushOptions]{Args: []string{"a@r1.b", "h:1/n"}, Want: pushOptions{release: "a@r1.b", to: "h:1/n"}},
		verbtest.Case[pushOptions]{
			Args: []string{"a@r1.b", "h:1/n", "--image", "i", "--platform", "linux/amd64", "--bare", "--ca", "f", "--json"},
			Want: pushOptions{release: "a@r1.b", to: "h:1/n", image: "i", platforms: []string{"linux/amd64"}, bare: true, ca: "f", json: true},
		},
	)
}
