package sbom

import (
	"fmt"
	"io"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	spdxjson "github.com/spdx/tools-golang/json"
	spdx "github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// Format is a form of document.
type Format struct {
	Name      string // "cyclonedx"
	MediaType string
	Write     func(*Document, io.Writer) error
}

// Formats returns the forms in which a Document is written.
func Formats() []Format {
	return []Format{
		{"cyclonedx", "application/vnd.cyclonedx+json", (*Document).CycloneDX},
		{"spdx", "application/spdx+json", (*Document).SPDX},
	}
}

// label returns how an artifact is called: "wallet for linux/arm/v6".
func (a Artifact) label() string { return fmt.Sprintf("%s for %s", a.Name, a.Platform) }

// ref returns a name of a that documents refer to it by.
func (a Artifact) ref() string {
	return a.Name + "-" + strings.ReplaceAll(string(a.Platform), "/", "-")
}

// id returns a number in UUID's form that is the release's own.
func (d *Document) id() string {
	h := d.Release.Encoded()
	return fmt.Sprintf("%s-%s-8%s-8%s-%s", h[:8], h[8:12], h[13:16], h[17:20], h[20:32]) // version 8: as the maker of it likes
}

func (d *Document) time() string { return d.Made.UTC().Format(time.RFC3339) }

// CycloneDX writes d as CycloneDX 1.6 in JSON.
func (d *Document) CycloneDX(w io.Writer) error {
	b := cdx.NewBOM()
	b.SerialNumber = "urn:uuid:" + d.id()
	top := &cdx.Component{
		BOMRef: "release", Type: cdx.ComponentTypeApplication, Name: d.App, Version: d.Version,
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: d.Release.Encoded()}},
	}
	if d.Commit != "" {
		top.Properties = &[]cdx.Property{{Name: "overland:commit", Value: d.Commit}}
	}
	b.Metadata = &cdx.Metadata{
		Timestamp: d.time(), Component: top,
		Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "overland"}}},
	}
	var components []cdx.Component
	var depends []cdx.Dependency
	var artifacts []string
	listed := map[string]bool{}
	for _, a := range d.Artifacts {
		kind := map[Kind]cdx.ComponentType{Program: cdx.ComponentTypeApplication, Root: cdx.ComponentTypeOS, Image: cdx.ComponentTypeContainer, Data: cdx.ComponentTypeFile}[a.Kind]
		properties := []cdx.Property{{Name: "overland:platform", Value: string(a.Platform)}}
		if a.Distribution != "" {
			properties = append(properties, cdx.Property{Name: "overland:distribution", Value: a.Distribution})
		}
		components = append(components, cdx.Component{
			BOMRef: a.ref(), Type: kind, Name: a.Name, Version: d.Version, Properties: &properties,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: a.Digest.Encoded()}},
		})
		artifacts = append(artifacts, a.ref())
		parts := []string{}
		for _, c := range a.Components {
			url := c.URL()
			parts = append(parts, url)
			if listed[url] {
				continue
			}
			listed[url] = true
			one := cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: c.Name, Version: c.Version, PackageURL: url}
			if c.Sum != "" {
				one.Properties = &[]cdx.Property{{Name: "overland:go.sum", Value: c.Sum}}
			}
			components = append(components, one)
		}
		depends = append(depends, cdx.Dependency{Ref: a.ref(), Dependencies: &parts})
	}
	depends = append([]cdx.Dependency{{Ref: top.BOMRef, Dependencies: &artifacts}}, depends...)
	b.Components, b.Dependencies = &components, &depends
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(b, cdx.SpecVersion1_6)
}

const nothingSaid = "NOASSERTION" // what SPDX writes for what nobody has said

// SPDX writes d as SPDX 2.3 in JSON.
func (d *Document) SPDX(w io.Writer) error {
	doc := &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentName: d.App + "@" + d.Version,
		DocumentNamespace: "urn:uuid:" + d.id(),
		CreationInfo:      &v2_3.CreationInfo{Creators: []spdx.Creator{{CreatorType: "Tool", Creator: "overland"}}, Created: d.time()},
	}
	relate := func(a, what, b string) {
		doc.Relationships = append(doc.Relationships, &v2_3.Relationship{
			RefA: spdx.MakeDocElementID("", a), RefB: spdx.MakeDocElementID("", b), Relationship: what,
		})
	}
	add := func(id, name, version, purpose string, sum string) *v2_3.Package {
		p := &v2_3.Package{
			PackageName: name, PackageSPDXIdentifier: spdx.ElementID(id), PackageVersion: version, PackageDownloadLocation: nothingSaid,
			PackageLicenseConcluded: nothingSaid, PackageLicenseDeclared: nothingSaid, PackageCopyrightText: nothingSaid, PrimaryPackagePurpose: purpose,
		}
		if sum != "" {
			p.PackageChecksums = []spdx.Checksum{{Algorithm: spdx.SHA256, Value: sum}}
		}
		doc.Packages = append(doc.Packages, p)
		return p
	}
	add("Release", d.App, d.Version, "APPLICATION", d.Release.Encoded())
	relate("DOCUMENT", "DESCRIBES", "Release")
	ids := map[string]string{}
	for _, a := range d.Artifacts {
		purpose := map[Kind]string{Program: "APPLICATION", Root: "OPERATING_SYSTEM", Image: "CONTAINER", Data: "FILE"}[a.Kind]
		id := "Artifact-" + word(a.ref())
		p := add(id, a.label(), d.Version, purpose, a.Digest.Encoded())
		p.PackageSummary = a.Distribution
		relate("Release", "CONTAINS", id)
		for _, c := range a.Components {
			url := c.URL()
			if ids[url] == "" {
				ids[url] = fmt.Sprintf("Package-%d", len(ids)+1)
				one := add(ids[url], c.Name, c.Version, "LIBRARY", "")
				one.PackageExternalReferences = []*v2_3.PackageExternalReference{{Category: spdx.CategoryPackageManager, RefType: spdx.TypePackageManagerPURL, Locator: url}}
				one.PackageSourceInfo = c.Sum
			}
			relate(id, "CONTAINS", ids[url])
		}
	}
	return spdxjson.Write(doc, w, spdxjson.Indent("  "), spdxjson.EscapeHTML(false))
}

// word returns name with only what an identifier of SPDX may have.
func word(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, name)
}
