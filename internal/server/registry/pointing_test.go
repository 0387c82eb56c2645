package registry_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"overland/internal/errs"
	"overland/internal/server/registry"
)

// The files for docker, containerd and podman are tried with those programs in internal/site. k3s is not in Debian: its
// file is read as its documentation has it, and nothing else may be in it.
func TestPointK3s(t *testing.T) {
	for _, base := range []string{"https://10.0.0.1:8443", "http://10.0.0.1:3142/"} {
		for _, names := range [][]string{nil, {"hub.example", "own.example:5000"}} {
			p, err := registry.Point("k3s", base, names)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Mirrors map[string]struct{ Endpoint []string }
				Configs map[string]struct {
					TLS struct {
						CA string `yaml:"ca_file"`
					} `yaml:"tls"`
				}
			}
			if err := yaml.UnmarshalWithOptions([]byte(p.Text), &got, yaml.Strict()); err != nil {
				t.Fatalf("%v\n%s", err, p.Text)
			}
			if len(names) == 0 {
				names = []string{"*"}
			}
			for _, n := range names {
				if m := got.Mirrors[n]; len(m.Endpoint) != 1 || m.Endpoint[0] != strings.TrimSuffix(base, "/") {
					t.Errorf("%s of %s\n%s", n, base, p.Text)
				}
			}
			if ca := got.Configs["10.0.0.1:8443"].TLS.CA; len(got.Mirrors) != len(names) || ca != p.Certificate || (ca == "") == strings.HasPrefix(base, "https") {
				t.Errorf("%s\n%s", base, p.Text)
			}
		}
	}
}

func TestPoint(t *testing.T) {
	p, err := registry.Point("docker", "http://10.0.0.1:3142", nil)
	var got map[string][]string
	if err := json.Unmarshal([]byte(p.Text), &got); err != nil || got["insecure-registries"][0] != "10.0.0.1:3142" || p.Certificate != "" {
		t.Errorf("docker over plain HTTP: %v\n%s", err, p.Text)
	}
	if err != nil {
		t.Error(err)
	}
	for what, c := range map[string][]string{
		"podman without a name": {"podman", "https://10.0.0.1:8443"}, "a program that is not known": {"rkt", "https://10.0.0.1:8443"},
		"a site without a scheme": {"docker", "10.0.0.1:8443"}, "a path": {"docker", "https://10.0.0.1:8443/x"}, "a login": {"docker", "https://a:b@10.0.0.1:8443"},
		"a name that ends the line": {"podman", "https://10.0.0.1:8443", "hub.example\"\n"}, "a quote": {"k3s", `https://10.0.0.1"`},
	} {
		if _, err := registry.Point(c[0], c[1], c[2:]); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
}
