package packages

import (
	"regexp"
	"strings"

	"overland/internal/errs"
	"overland/internal/source"
)

// counted is a version that counts commits, and what follows it: of a folder as it is, or of some platforms.
var counted = regexp.MustCompile(`^r([0-9]+\.[0-9a-f]{12})((?:-.*)?)$`)

// preRelease is where the name of a tag says that it comes before what it is called after: v1.2.3-rc1.
var preRelease = regexp.MustCompile(`-([a-z])`)

// Version returns the version of a package made of c, in the order of deb-version(7):
//
//	r412.abcdef012345        0+r412.abcdef012345    below every version that a tag gives
//	v1.2.3                   1.2.3
//	v1.2.3-4-gabcdef012345   1.2.3+4.gabcdef012345  above 1.2.3, below 1.2.3.1 and 1.2.4
//	v1.2.3-rc1               1.2.3~rc1              below 1.2.3
//
// A tag that does not begin with a number is errs.Invalid: no package can be called so.
func Version(c source.Commit) (string, error) {
	if m := counted.FindStringSubmatch(c.Version); m != nil {
		return "0+r" + m[1] + after(m[2]), nil
	}
	name, rest := c.Tag.Name, strings.TrimPrefix(c.Version, c.Tag.Name)
	if number := strings.TrimPrefix(name, "v"); number != "" && number[0] >= '0' && number[0] <= '9' {
		number = preRelease.ReplaceAllString(number, "~$1")
		return strings.NewReplacer("-", ".", "_", ".").Replace(number) + after(rest), nil
	}
	return "", errs.Hint(errs.Errorf(errs.Invalid, "version %.100q: the version of a package begins with a number", c.Version),
		"call tags like v1.2.3, or leave out version: tag")
}

// after returns rest, which follows a version: "-4-gabcdef012345", "-dirty.abcdef012345", "-for-amd64".
func after(rest string) string {
	if rest == "" {
		return ""
	}
	return "+" + strings.ReplaceAll(strings.TrimPrefix(rest, "-"), "-", ".")
}
