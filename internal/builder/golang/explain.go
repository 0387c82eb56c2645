package golang

import (
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/modfile"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// The Go command explains itself in text only. These patterns come from its own source and that of
// package net, and are tried in order.
var (
	saysUntrusted = regexp.MustCompile(`SECURITY ERROR|checksum mismatch|checksum database disabled|invalid signature|does not match`)
	saysDisabled  = regexp.MustCompile(`module lookup disabled by GOPROXY`)
	saysNoNetwork = regexp.MustCompile(`dial (tcp|udp)|no such host|connection (refused|reset)|network is unreachable|` +
		`i/o timeout|TLS handshake|tls: |x509: |unexpected EOF|: EOF|deadline exceeded|Client\.Timeout|server misbehaving|` +
		`proxyconnect|no route to host|Could not resolve|Bad Gateway|Service Unavailable|Gateway Time|Too Many Requests|` +
		`50[0234] |429 `)
	saysNoLogin = regexp.MustCompile(`terminal prompts disabled|could not read (Username|Password)|Permission denied \(publickey|` +
		`Authentication failed|401 Unauthorized|Host key verification failed`)
	saysNotThere = regexp.MustCompile(`40[034] |410 Gone|unknown revision|invalid version`)
)

// notFetched returns what a person needs to know when a Go command could not fetch what.
func notFetched(what, said string) error {
	switch {
	case saysUntrusted.MatchString(said):
		return errs.Hint(errs.Errorf(errs.Untrusted, "fetch %s: %s", what, said),
			"somebody changed it on the way, or the checksum database is off: go env GOPROXY GOSUMDB")
	case saysDisabled.MatchString(said):
		return errs.Hint(errs.Errorf(errs.Unavailable, "fetch %s: not in the module cache, and GOPROXY is off: %s", what, said),
			"build once with a network, or set GOPROXY to a proxy that can be reached")
	case saysNoNetwork.MatchString(said):
		return errs.Hint(errs.Errorf(errs.Unavailable, "fetch %s: no module proxy can be reached: %s", what, said),
			"check the network and go env GOPROXY; what is in the module cache needs neither")
	case saysNoLogin.MatchString(said):
		return errs.Hint(errs.Errorf(errs.Denied, "fetch %s: %s", what, said),
			"it is private, and nobody logged in: set GOPRIVATE for it, and let git (or GOAUTH) log in without asking")
	case saysNotThere.MatchString(said):
		return errs.Hint(errs.Errorf(errs.NotFound, "fetch %s: %s", what, said),
			"check its version; a private module needs GOPRIVATE and credentials")
	}
	err := errs.Errorf(errs.Invalid, "fetch %s: %s", what, said)
	for _, f := range faults {
		if f.says.MatchString(said) {
			return errs.Hint(err, "%s", f.hint)
		}
	}
	return errs.Hint(err, "go mod tidy, then commit go.mod and go.sum")
}

// saysNoPackage matches what the Go command says of a package that nothing provides.
var saysNoPackage = regexp.MustCompile(`no required module provides package ([^\s;:]+)|package ([^\s;:]+) is not in std`)

// notListed returns the error of a program whose packages the Go command cannot name. One of them may be a folder of
// the program's own module that is not in the commit, which no go mod tidy brings.
func (c compile) notListed(said string) error {
	if lacks := c.lacking(said); lacks != nil {
		return lacks
	}
	said = c.tidy(said)
	what := "modules of " + c.settings.Package
	if m := saysNoPackage.FindStringSubmatch(said); m != nil {
		b, err := fsx.ReadFile(filepath.Join(c.dir(), "go.mod"), maxSource)
		own := modfile.ModulePath(b)
		if folder, ok := strings.CutPrefix(m[1]+m[2], own+"/"); err == nil && own != "" && ok {
			for _, l := range c.job.Left {
				if path.Dir(l.Path) == path.Join(c.settings.Dir, folder) {
					return l.Err()
				}
			}
			return errs.Hint(errs.Errorf(errs.Invalid, "fetch %s: %s", what, said),
				"the folder %s is of this module, and not in the commit: commit it (git status --ignored shows what git leaves out), or mend the import", folder)
		}
	}
	return notFetched(what, said)
}

// faults are what a commit can lack besides lines of go.mod and go.sum, each with what mends it.
var faults = []struct {
	says *regexp.Regexp
	hint string
}{
	{
		regexp.MustCompile(`pattern .*: (no matching files found|cannot embed)`),
		"a file that is generated or ignored is not in the commit: commit it, or make it and the program with a command in overland.yaml, " +
			"or build the folder as it is (--dirty)",
	},
	{
		regexp.MustCompile(`inconsistent vendoring|vendor/modules\.txt`),
		"go mod vendor, then commit the folder vendor",
	},
	{
		regexp.MustCompile(`build constraints exclude all Go files`),
		"it has no file for this platform without cgo, which is off: change platforms in overland.yaml, or take a package that is all Go",
	},
	{
		regexp.MustCompile(`replaced by \.{0,2}/|replacement directory`),
		"the folder that replace in go.mod (or go.work) names is not in the commit: commit it, or take a published version",
	},
	{
		regexp.MustCompile(`directory not found|no Go files in|cannot find module providing package \./|is not in std`),
		"there is no such folder in the commit, or it has no Go files: name the folder of the package main in overland.yaml, and commit it",
	},
	{
		regexp.MustCompile(`requires go >= |invalid go version|unknown directive`),
		"a newer Go is asked for: toolchain in overland.yaml or in go.mod names it",
	},
}
