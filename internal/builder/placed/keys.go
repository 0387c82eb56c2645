package placed

import (
	"path"
	"regexp"
	"strings"

	"overland/internal/appfile/yamlfile"
)

// File is what is placed at a path: an artifact, or a file or folder of the commit.
type File struct {
	Artifact string // its name, or
	Path     string // below the top of the repository; slash-separated
	Mode     string // octal; "" = 0755 for programs and folders, 0644 for other files
	Owner    string // as in the key that Keys was given; "" = root's
}

// The forms of names and paths, in words.
const (
	NameForm   = "an artifact's name"
	SourceForm = "an artifact's name, or a file or folder of the commit, written like ./etc/wallet.conf"
)

// NamePattern is that of artifacts.
var NamePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

var (
	sourcePattern = regexp.MustCompile(`^([a-z][a-z0-9-]{0,62}|\./[^\x00]*)$`)
	localPattern  = regexp.MustCompile(`^\./`)
	modePattern   = regexp.MustCompile(`^0?[0-7]{3,4}$`)
)

// Keys are those of a File; ownerPattern, which ownerForm says in words, is that of an owner.
func Keys(ownerDoc string, ownerPattern *regexp.Regexp, ownerForm string) []yamlfile.Key[File] {
	return []yamlfile.Key[File]{
		yamlfile.Text("artifact", "The artifact that is placed.", NamePattern, NameForm, func(f *File) *string { return &f.Artifact }),
		LocalKey("path", "The file or folder of the commit that is placed: ./etc/wallet.conf.", func(f *File) *string { return &f.Path }),
		yamlfile.Text("mode", "Its permissions, in octal and quotes: \"0755\".", modePattern, "in octal and quotes, like \"0755\"",
			func(f *File) *string { return &f.Mode }),
		yamlfile.Text("owner", ownerDoc, ownerPattern, ownerForm, func(f *File) *string { return &f.Owner }),
	}
}

// Short is the short form of a File.
func Short() yamlfile.Key[File] {
	var s string
	return yamlfile.Text("file", "", sourcePattern, SourceForm, func(*File) *string { return &s }).Then(func(d *yamlfile.Decoder, n yamlfile.Node, f *File) {
		if strings.HasPrefix(s, "./") {
			f.Path = Local(d, n, s)
		} else {
			f.Artifact = s
		}
	})
}

// LocalKey is a key with a path of the commit, written like ./etc/wallet.conf; in a T it is clean and has no "./".
func LocalKey[T any](name, doc string, at func(*T) *string) yamlfile.Key[T] {
	return yamlfile.Key[T]{
		Name: name, Doc: doc, Schema: yamlfile.Schema{"type": "string", "pattern": localPattern},
		Set: func(d *yamlfile.Decoder, n yamlfile.Node, to *T) {
			if s, ok := d.Match(n, name, localPattern, "written like ./etc/wallet.conf"); ok {
				*at(to) = Local(d, n, s)
			}
		},
		Get: func(from *T) any {
			if *at(from) == "" {
				return ""
			}
			return "./" + *at(from)
		},
	}
}

// Local returns s, a path of the commit, clean. It complains to d of one that is not below the top.
func Local(d *yamlfile.Decoder, n yamlfile.Node, s string) string {
	if !Below(s) {
		d.Fail(n, SourceForm, "%.60q leaves the repository", s)
	}
	return path.Clean(s)
}

// Below reports whether the path p of the commit stays below its top.
func Below(p string) bool {
	p = path.Clean(p)
	return !path.IsAbs(p) && p != ".." && !strings.HasPrefix(p, "../") && !strings.ContainsRune(p, 0)
}

// Check complains to d when f, which stands at the path at, is not one of both.
func (f File) Check(d *yamlfile.Decoder, n yamlfile.Node, at string) {
	if (f.Artifact == "") == (f.Path == "") {
		d.Fail(n, SourceForm, "files: %.60q: one of artifact and path", at)
	}
}
