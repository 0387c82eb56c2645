package registry

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"overland/internal/ecosystem/oci"
	"overland/internal/errs"
)

// Pointing is a file with which a program for images pulls through a site.
type Pointing struct {
	Path        string // where the program looks for it
	Text        string
	Certificate string // where it looks for the site's certificate; "" = it needs none
	More        string // what else to do, for a person; "" = nothing
}

// Programs are those that Point knows.
func Programs() []string { return []string{"docker", "containerd", "podman", "k3s"} }

// Point returns the file for program, which pulls images of registries through the site at base, an http or https URL.
// docker asks its mirrors for images of its own default alone, whatever registries are; podman must be told which. Errors:
// Invalid.
func Point(program, base string, registries []string) (Pointing, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" ||
		strings.ContainsAny(base, " '\"$`\\") {
		return Pointing{}, errs.Hint(errs.Errorf(errs.Invalid, "site %q", base), "write it like https://10.0.0.1:8443")
	}
	if _, err := oci.New(nil, list(registries)...); err != nil {
		return Pointing{}, err
	}
	at := site{u.Host, u.Scheme + "://" + u.Host, u.Scheme == "https"}
	switch program {
	case "docker":
		return at.docker()
	case "containerd":
		return at.containerd(registries), nil
	case "podman":
		return at.podman(registries)
	case "k3s":
		return at.k3s(registries), nil
	}
	return Pointing{}, errs.Hint(errs.Errorf(errs.Invalid, "nothing is known of %.40q", program), "%s", strings.Join(Programs(), ", "))
}

func list(names []string) (all []oci.Registry) {
	for _, n := range names {
		all = append(all, oci.Registry{Name: n})
	}
	return all
}

// site is where images are pulled through.
type site struct {
	host, url string
	secure    bool
}

// certificate returns the path in folder, "" when none is needed.
func (s site) certificate(folder string) string {
	if !s.secure {
		return ""
	}
	return folder + "/" + s.host + "/ca.crt"
}

func (s site) docker() (Pointing, error) {
	settings := map[string][]string{"registry-mirrors": {s.url}}
	if !s.secure {
		settings["insecure-registries"] = []string{s.host}
	}
	b, err := json.MarshalIndent(settings, "", "  ")
	return Pointing{
		Path: "/etc/docker/daemon.json", Text: string(b) + "\n", Certificate: s.certificate("/etc/docker/certs.d"),
		More: "dockerMirrors in site.yaml says whose images docker means; those of others are pulled as " + s.host + "/REGISTRY/NAME",
	}, err
}

func (s site) containerd(registries []string) Pointing {
	const folder = "/etc/containerd/certs.d"
	p := Pointing{
		Path: folder + "/_default/hosts.toml", Certificate: s.certificate(folder),
		More: "containerd reads it when config_path is " + folder + " in the settings of its registry plug-in",
	}
	if len(registries) > 0 {
		p.Path = folder + "/" + strings.Join(registries, "/hosts.toml, "+folder+"/") + "/hosts.toml"
	}
	p.Text = fmt.Sprintf("[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", s.url)
	if s.secure {
		p.Text += fmt.Sprintf("  ca = %q\n", p.Certificate)
	}
	return p
}

func (s site) podman(registries []string) (Pointing, error) {
	if len(registries) == 0 {
		return Pointing{}, errs.Hint(errs.Errorf(errs.Invalid, "podman must be told each registry by its name"), "--registry hub.example")
	}
	var b strings.Builder
	for _, name := range registries {
		fmt.Fprintf(&b, "[[registry]]\nlocation = %q\n[[registry.mirror]]\nlocation = %q\n", name, s.host+"/"+name)
		if !s.secure {
			b.WriteString("insecure = true\n")
		}
	}
	return Pointing{
		Path: "/etc/containers/registries.conf.d/overland.conf", Text: b.String(), Certificate: s.certificate("/etc/containers/certs.d"),
	}, nil
}

func (s site) k3s(registries []string) Pointing {
	const folder = "/etc/rancher/k3s"
	var b strings.Builder
	b.WriteString("mirrors:\n")
	if len(registries) == 0 {
		registries = []string{"*"}
	}
	for _, name := range registries {
		fmt.Fprintf(&b, "  %q:\n    endpoint:\n      - %q\n", name, s.url)
	}
	p := Pointing{Path: folder + "/registries.yaml", Certificate: s.certificate(folder)}
	if s.secure {
		fmt.Fprintf(&b, "configs:\n  %q:\n    tls:\n      ca_file: %q\n", s.host, p.Certificate)
	}
	p.Text = b.String()
	return p
}
