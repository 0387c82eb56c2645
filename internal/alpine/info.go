package alpine

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// Info is what an index or the .PKGINFO of a package says of it.
type Info struct {
	Name, Version, Architecture string
	Origin                      string // the source that it is built from; packages of one origin may share files
	Depends, Provides           []Dependency
	InstallIf                   []Dependency // all of these bring it in; none: nothing does
	Replaces                    []Dependency // whose files it may have too; only in a .PKGINFO, like the rest
	ReplacesPriority            int
	ProviderPriority            int // of several that provide one name, the highest is taken
	Triggers                    []string
	Text                        map[byte]string // what else an installed database says, by its letters: T U L m t c I
	Package                     Package         // of an index; ReadArchive returns that of a package
}

// File returns the name of its file.
func (p *Info) File() string { return p.Name + "-" + p.Version + ".apk" }

// texts are the fields of Info.Text.
const texts = "TULmtcI"

// letters are the fields of an index by the names that a .PKGINFO has for them. r and q are those of an installed database.
var letters = map[string]byte{
	"pkgname": 'P', "pkgver": 'V', "pkgdesc": 'T', "url": 'U', "size": 'I', "license": 'L', "arch": 'A', "depend": 'D', "install_if": 'i', "provides": 'p',
	"origin": 'o', "maintainer": 'm', "builddate": 't', "commit": 'c', "provider_priority": 'k', "replaces": 'r', "replaces_priority": 'q', "triggers": 'g',
}

// many are the fields that a .PKGINFO may have several times.
const many = "Dipr"

// ParsePkginfo returns what r, a .PKGINFO of at most 4 MiB, says. Anything that is not one is errs.Invalid.
func ParsePkginfo(r io.Reader) (*Info, error) {
	fields := map[byte]string{}
	lines := bufio.NewScanner(fsx.Limit(r, pkginfoLimit))
	lines.Buffer(make([]byte, 0, 4<<10), lineLimit)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " = ")
		letter := letters[name]
		if !ok || letter == 0 {
			continue
		}
		old, twice := fields[letter]
		switch {
		case twice && strings.IndexByte(many, letter) < 0:
			return nil, errs.Errorf(errs.Invalid, ".PKGINFO: %s appears twice", name)
		case twice:
			value = old + " " + value
		}
		fields[letter] = value
	}
	if err := lines.Err(); err != nil {
		return nil, errs.E(errs.Invalid, fmt.Errorf(".PKGINFO: %w", err))
	}
	p, err := newInfo(fields)
	if err != nil {
		return nil, fmt.Errorf(".PKGINFO: %w", err)
	}
	return p, nil
}

// newInfo returns what the fields of a record say.
func newInfo(fields map[byte]string) (*Info, error) {
	p := &Info{Name: fields['P'], Version: fields['V'], Architecture: fields['A'], Origin: fields['o'], Text: map[byte]string{}, Triggers: strings.Fields(fields['g'])}
	if p.Name == "" || strings.ContainsAny(p.File(), "/ \\\n"+operatorBytes[:3]) || !ValidVersion(p.Version) || len(p.File()) > nameLimit {
		return nil, errs.Errorf(errs.Invalid, "%.100q is not the name of a package with a version", p.File())
	}
	var err error
	for letter, list := range map[byte]*[]Dependency{'D': &p.Depends, 'p': &p.Provides, 'i': &p.InstallIf, 'r': &p.Replaces} {
		var bad error
		if *list, bad = parseDependencies(fields[letter]); bad != nil && err == nil {
			err = fmt.Errorf("%s: %w", p.File(), bad)
		}
	}
	for letter, n := range map[byte]*int{'k': &p.ProviderPriority, 'q': &p.ReplacesPriority} {
		text := fields[letter]
		if text == "" {
			continue
		}
		const bits = 16
		v, bad := strconv.ParseUint(text, 10, bits)
		if *n = int(v); bad != nil && err == nil {
			err = errs.Errorf(errs.Invalid, "%s: its priority is %.20q", p.File(), text)
		}
	}
	for _, letter := range []byte(texts) {
		if v := fields[letter]; v != "" {
			p.Text[letter] = v
		}
	}
	return p, err
}

// ReadInfos calls each for every package that r, an APKINDEX.tar.gz whose signatures were verified, lists and proves. The
// limits are those of ReadIndex; what is wrong is errs.Untrusted, and an error of each ends it. A package whose dependencies
// are of a later format is left out, as apk leaves it out.
func ReadInfos(r io.Reader, each func(*Info) error) error {
	_, err := readIndex(r, func(text io.Reader) error {
		n := 0
		return records(text, "PVCSAoDpik"+texts, func(fields map[byte]string) error {
			sum, proved, err := proof(fields)
			if err != nil || !proved {
				return err
			}
			if n++; n > recordsLimit {
				return fmt.Errorf("more than %d packages", recordsLimit)
			}
			p, err := newInfo(fields)
			if err != nil {
				return nil //nolint:nilerr // as said above
			}
			p.Package = sum
			return each(p)
		})
	})
	return err
}

// Checksum returns c as an index and an installed database write a SHA1.
func Checksum(c []byte) string { return "Q1" + base64.StdEncoding.EncodeToString(c) }

// ReadInstalled calls each for every package that r, apk's database lib/apk/db/installed, lists, with its name, version, architecture
// and origin. What is wrong is errs.Invalid, and an error of each ends it.
func ReadInstalled(r io.Reader, each func(*Info) error) error {
	n := 0
	err := records(r, "PVAoDp", func(fields map[byte]string) error {
		if n++; n > recordsLimit {
			return fmt.Errorf("more than %d packages", recordsLimit)
		}
		p, err := newInfo(fields)
		if err != nil { // without what does not parse
			delete(fields, 'D')
			delete(fields, 'p')
			p, err = newInfo(fields)
		}
		if err != nil {
			return err
		}
		return each(p)
	})
	if err != nil && errs.KindOf(err) == errs.Internal {
		err = errs.E(errs.Invalid, err)
	}
	return err
}
