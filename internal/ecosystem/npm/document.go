package npm

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// document is what is read of a packument; a manifest is one of its versions.
type document struct {
	Name     string              `json:"name"`
	Versions map[string]manifest `json:"versions"`
}

type manifest struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Dist    dist   `json:"dist"`
}

type dist struct {
	Tarball   string `json:"tarball"`
	Integrity string `json:"integrity"`
	Shasum    string `json:"shasum"`
}

// readDocument returns the packument r of the package called name
// (errs.Untrusted when it is not one).
func readDocument(r io.Reader, name string) (*document, error) {
	var d document
	if err := decode(r, &d); err != nil {
		return nil, errs.E(errs.Untrusted, fmt.Errorf("packument of %s: %w", name, err))
	}
	if d.Name != name {
		return nil, errs.Errorf(errs.Untrusted, "packument of %s: it is of %.200q", name, d.Name)
	}
	for v, m := range d.Versions {
		if m.Version != v || m.Name != name {
			return nil, errs.Errorf(errs.Untrusted, "packument of %s: version %.200s is of %.200s %.200s", name, v, m.Name, m.Version)
		}
	}
	return &d, nil
}

// readManifest returns the manifest r of the package called name; version "" is any.
func readManifest(r io.Reader, name, version string) (*manifest, error) {
	var m manifest
	if err := decode(r, &m); err != nil {
		return nil, errs.E(errs.Untrusted, fmt.Errorf("manifest of %s: %w", name, err))
	}
	if m.Name != name || m.Version == "" || version != "" && m.Version != version {
		return nil, errs.Errorf(errs.Untrusted, "manifest of %s %s: it is of %.200s %.200s", name, version, m.Name, m.Version)
	}
	return &m, nil
}

// decode reads exactly one JSON object, of at most documentLimit bytes.
func decode(r io.Reader, into any) error {
	d := json.NewDecoder(fsx.Limit(r, documentLimit))
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

// digests are the hashes that a tarball may be promised by, the strongest first. sha1 proves least:
// it is taken only from a registry that gives nothing better, as npm itself does.
var digests = []struct {
	name string
	new  func() hash.Hash
}{
	{"sha512", sha512.New},
	{"sha384", sha512.New384},
	{"sha256", sha256.New},
	{"sha1", sha1.New},
}

// proof returns "sha512-BASE64" when the tarball r is what d promises, by the
// strongest algorithm that it gives.
func (d dist) proof(r io.Reader) (string, error) {
	promised := strings.Fields(d.Integrity)
	if d.Integrity == "" && d.Shasum != "" {
		raw, err := hex.DecodeString(d.Shasum)
		if err != nil {
			return "", errs.Errorf(errs.Untrusted, "shasum %.200q", d.Shasum)
		}
		promised = []string{"sha1-" + base64.StdEncoding.EncodeToString(raw)}
	}
	for _, a := range digests {
		var want [][]byte
		for _, p := range promised {
			p, _, _ = strings.Cut(p, "?") // options, of which none is defined
			if b64, ok := strings.CutPrefix(p, a.name+"-"); ok {
				raw, err := base64.StdEncoding.DecodeString(b64)
				if err != nil || len(raw) != a.new().Size() {
					return "", errs.Errorf(errs.Untrusted, "integrity %.200q", p)
				}
				want = append(want, raw)
			}
		}
		if len(want) == 0 {
			continue
		}
		h := a.new()
		if _, err := io.Copy(h, r); err != nil {
			return "", err
		}
		got := h.Sum(nil)
		text := a.name + "-" + base64.StdEncoding.EncodeToString(got)
		if slices.ContainsFunc(want, func(w []byte) bool { return bytes.Equal(w, got) }) {
			return text, nil
		}
		return "", errs.Errorf(errs.Untrusted, "integrity %s, the registry promises %.200s", text, strings.Join(promised, " "))
	}
	return "", errs.Errorf(errs.Untrusted, "the registry promises no integrity that is known: %.200q", d.Integrity)
}
