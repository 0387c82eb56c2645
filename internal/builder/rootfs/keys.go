package rootfs

import (
	"regexp"
	"strings"

	"overland/internal/appfile/yamlfile"
	"overland/internal/errs"
)

// Key is this builder's key in overland.yaml.
const Key = "rootfs"

// Root is what stands under the key "rootfs".
type Root struct {
	From            string   // "debian/trixie", "alpine/v3.22"
	Packages        []string // names, or NAME=VERSION
	Exclude         []string
	SkipScripts     []string // packages whose scripts may be unknown
	WithoutSecurity string   // "yes" allows a base whose security archive lacks a platform
	Updates         string   // "none" = the base as it was released; "" = all
	DataOnly        string   // "yes" = nothing that runs on a processor: one root for all platforms
}

var (
	fromPattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*/[a-z0-9][a-z0-9.-]*$`)
	wishPattern    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_+.:-]*((=|<|>|<=|>=|~)[A-Za-z0-9.+:~_-]+)?(@[a-z0-9-]+)?$`)
	debianWish     = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?$`)
	packagePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_+.:-]*$`)
)

const packageForm = "a package's name, like busybox"

// check returns errs.Invalid for a wish that the distribution has no word for.
func (r *Root) check() error {
	for _, w := range r.Packages {
		if !r.alpine() && !debianWish.MatchString(w) {
			return errs.Errorf(errs.Invalid, "%s: of Debian a package is wished by NAME or NAME=VERSION", w)
		}
	}
	return nil
}

// Keys returns the key "rootfs" with all that stands under it. Its Settings are a *Root.
func Keys() yamlfile.Builder {
	b := yamlfile.NewBuilder(Key, "Builder key: a root file system from the packages of a distribution.", []yamlfile.Key[Root]{
		yamlfile.Text("from", "The base: an archive of apt's sources and a suite of it, debian/trixie, or a branch of Alpine, alpine/v3.22.", fromPattern, "written like debian/trixie or alpine/v3.22",
			func(r *Root) *string { return &r.From }).Must(),
		yamlfile.List("packages", "package", "Packages, by name or as NAME=VERSION; what they depend on comes with them. Of Alpine also with < <= > >= and ~, and as NAME@community.", wishPattern,
			"a package's name, like busybox, or busybox=VERSION", func(r *Root) *[]string { return &r.Packages }).Must(),
		yamlfile.List("exclude", "package", "Packages that must not be in it.", packagePattern, packageForm, func(r *Root) *[]string { return &r.Exclude }),
		yamlfile.List("skip-scripts", "package", "Packages that are taken although their scripts are not known, and not run.", packagePattern, packageForm,
			func(r *Root) *[]string { return &r.SkipScripts }),
		yamlfile.OneOf("without-security", "Whether a platform is built that the base has no security updates for.", []string{"yes", "no"},
			func(r *Root) *string { return &r.WithoutSecurity }),
		yamlfile.OneOf("updates", "Which updates of the base are taken: all of them, also security's, or none: then it is as it was released.", []string{"all", "none"},
			func(r *Root) *string { return &r.Updates }),
		yamlfile.OneOf("data-only", "Whether it holds nothing that runs on a processor: certificates, users, time zones. It is the same for every platform then.", []string{"yes", "no"},
			func(r *Root) *string { return &r.DataOnly }),
	})
	b.Example = "for a root file system: rootfs: {from: debian/trixie, packages: [libc6, busybox]}"
	return b
}

// wishes returns the names of the packages, and the versions that some are pinned to.
func (r *Root) wishes() (names []string, pins map[string]string) {
	pins = map[string]string{}
	for _, w := range r.Packages {
		name, version, pinned := strings.Cut(w, "=")
		if pinned {
			pins[name] = version
		}
		names = append(names, name)
	}
	return append(names, always...), pins
}
