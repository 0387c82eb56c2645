package deb

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"overland/internal/deflate"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// Published is a package as an index lists it.
type Published struct {
	Control  string // its control file
	Filename string // below the archive: "pool/wallet_1_amd64.deb"
	File            // SHA256 has to be there
}

// Suite is a suite of an archive that is to be written, with the component main.
type Suite struct {
	Origin, Name string
	Date         time.Time
	Packages     []Published
}

// Component is the one that a Suite has.
const Component = "main"

// Written is a file of an archive, by its path below that.
type Written struct {
	Path string
	Data []byte
}

// Write returns the files of s in the order in which they are to be placed, so that whoever asks meanwhile finds a whole
// archive, the old one or the new: indexes under their digests, indexes under their names, and what s has signed, last.
// What an archive may not list is errs.Invalid. There is no Valid-Until: what is carried on a stick is valid as long as
// its packages are.
func (s Suite) Write(by Signer) ([]Written, error) {
	top := "dists/" + s.Name + "/"
	indexes, err := s.indexes()
	if err != nil {
		return nil, err
	}
	var archs []string
	var hashed, named []Written
	sums := map[string]string{}
	for _, arch := range slices.Sorted(maps.Keys(indexes)) {
		archs = append(archs, arch)
		var packed bytes.Buffer
		z, err := deflate.NewGzip(&packed)
		if err == nil {
			_, err = io.WriteString(z, indexes[arch])
		}
		if err == nil {
			err = z.Close()
		}
		if err != nil {
			return nil, err
		}
		for name, data := range map[string][]byte{"Packages": []byte(indexes[arch]), "Packages.gz": packed.Bytes()} {
			rel := Component + "/binary-" + arch + "/" + name
			sum, err := Measure(bytes.NewReader(data), false)
			if err != nil {
				return nil, err
			}
			sums[rel] = fmt.Sprintf(" %s %d %s\n", sum.SHA256, sum.Size, rel)
			hashed = append(hashed, Written{top + path.Dir(rel) + "/by-hash/SHA256/" + sum.SHA256, data})
			named = append(named, Written{top + rel, data})
		}
	}
	text, err := Paragraphs([]Field{
		{"Origin", s.Origin},
		{"Label", s.Origin},
		{"Suite", s.Name},
		{"Codename", s.Name},
		{"Date", s.Date.UTC().Format("Mon, 02 Jan 2006 15:04:05 UTC")},
		{"Architectures", strings.Join(archs, " ")},
		{"Components", Component},
		{"Acquire-By-Hash", "yes"},
	})
	if err != nil {
		return nil, err
	}
	text += "SHA256:\n"
	for _, rel := range slices.Sorted(maps.Keys(sums)) {
		text += sums[rel]
	}
	signed, err := by.ClearSign(text, s.Date)
	if err != nil {
		return nil, err
	}
	key, err := by.PublicKey()
	if err != nil {
		return nil, err
	}
	byPath := func(a, b Written) int { return strings.Compare(a.Path, b.Path) }
	slices.SortFunc(hashed, byPath)
	slices.SortFunc(named, byPath)
	return append(slices.Concat(hashed, named), Written{"archive-key.asc", key}, Written{top + "InRelease", signed}), nil
}

// indexes returns the text of Packages, by architecture.
func (s Suite) indexes() (map[string]string, error) {
	type entry struct{ name, version, text string }
	list, seen := map[string][]entry{}, map[string]string{}
	for _, p := range s.Packages {
		d := NewDecoder(strings.NewReader(p.Control), "package", "version", "architecture")
		c, err := d.Next()
		if err != nil {
			return nil, errs.E(errs.Invalid, fmt.Errorf("%s: %w", p.Filename, err))
		}
		name, arch := c["package"], c["architecture"]
		same := name + " " + c["version"] + " " + arch
		switch {
		case name == "" || c["version"] == "" || arch == "" || !isHex(p.SHA256, 64):
			return nil, errs.Errorf(errs.Invalid, "%s: no name, version, architecture or sha256", p.Filename)
		case seen[same] == p.SHA256:
			continue
		case seen[same] != "":
			return nil, errs.Errorf(errs.Invalid, "%s for %s is there twice, as different packages", name+" "+c["version"], arch)
		}
		seen[same] = p.SHA256
		text := fmt.Sprintf("%s\nFilename: %s\nSize: %d\nSHA256: %s\n", strings.TrimRight(p.Control, "\n"), p.Filename, p.Size, p.SHA256)
		list[arch] = append(list[arch], entry{name, c["version"], text})
	}
	out := map[string]string{}
	for arch, entries := range list {
		slices.SortFunc(entries, func(a, b entry) int {
			return cmp.Or(strings.Compare(a.name, b.name), CompareVersions(a.version, b.version))
		})
		for i, e := range entries {
			if i > 0 {
				out[arch] += "\n"
			}
			out[arch] += e.text
		}
	}
	return out, nil
}

// ReadControl returns the control file of the package r.
func ReadControl(r io.Reader) (string, error) {
	var text []byte
	err := ReadArchive(r, Contents{Control: func(name string, r io.Reader) (err error) {
		if name == "control" {
			text, err = fsx.Read(r, "control", controlFileLimit)
		}
		return err
	}})
	return string(text), err
}

const controlFileLimit = 1 << 20 // bytes
