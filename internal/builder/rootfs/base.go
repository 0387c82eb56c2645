package rootfs

import (
	"strings"

	"overland/internal/deb/resolve"
	"overland/internal/platform"
)

// suite is one suite of an archive that a base takes packages from.
type suite struct {
	archive, name string // "debian-security", "trixie-security"
	needed        bool   // a platform that it does not serve is refused
}

// dir is where the suite's InRelease is, as keys of a lock have it.
func (s suite) dir() string { return s.archive + "/dists/" + s.name }

// suites returns what the base of r, such as "debian/trixie", means, the most important last, as apt's sources have it.
func (r *Root) suites() []suite {
	archive, name, _ := strings.Cut(r.From, "/")
	all := []suite{{archive, name, true}}
	if r.Updates != "none" && archive == "debian" && name != "sid" && name != "unstable" {
		all = append(all, suite{archive, name + "-updates", false}, suite{archive + "-security", name + "-security", true})
	}
	return all
}

// architectures are Debian's names of platforms. armhf needs ARMv7, so v6 is armel's, like v5.
var architectures = map[platform.Platform]string{
	"linux/amd64": "amd64", "linux/arm/v5": "armel", "linux/arm/v6": "armel", "linux/arm/v7": "armhf", "linux/arm64": "arm64",
}

// merged are the folders that Debian's packages have files in, and that are links.
var merged = []string{"bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32"}

// always are in every root file system: they say which distribution it is, and who its users are.
var always = []string{"base-files", "base-passwd"}

// cuts are the dependencies that are not followed, because what they are for is done by actions.
var cuts = []resolve.Cut{
	{Package: "base-files", Depends: "awk"},                // for its scripts
	{Package: "base-passwd", Depends: "libc6"},             // for update-passwd, which changes what is there already
	{Package: "base-passwd", Depends: "libdebconfclient0"}, //
	{Package: "base-passwd", Depends: "libselinux1"},       //
	{Package: "ca-certificates", Depends: "openssl"},       // for update-ca-certificates
	{Package: "ca-certificates", Depends: "debconf"},       // which asks for the certificates to trust: all
	{Package: "tzdata", Depends: "debconf"},                // which asks for the time zone: UTC
}
