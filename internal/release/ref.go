package release

import (
	"fmt"
	"regexp"
	"strings"

	"overland/internal/appfile"
	"overland/internal/errs"
)

var (
	nameForm    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	versionForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,126}$`)
)

// OfFolder stands in the version of a release that was built of a folder as it was.
const OfFolder = "-dirty."

// Ref names a release: "wallet@r412.abcdef012345".
type Ref struct{ App, Version string }

// ParseRef returns s, "APP@VERSION", as a Ref. The error is of kind Invalid.
func ParseRef(s string) (Ref, error) {
	app, version, ok := strings.Cut(s, "@")
	if !ok && nameForm.MatchString(app) {
		return Ref{}, errs.Hint(errs.Errorf(errs.Invalid, "which release of %s?", app), "overland release list shows them; one is written APP@VERSION")
	}
	r := Ref{App: app, Version: version}
	if err := r.Check(); err != nil {
		return Ref{}, errs.Hint(err, "a release is written APP@VERSION, for example wallet@r412.abcdef012345")
	}
	return r, nil
}

// Check returns an error of kind Invalid when r cannot be the name of a release.
func (r Ref) Check() error {
	if !nameForm.MatchString(r.App) {
		return errs.Errorf(errs.Invalid, "release %.100q: %.100q is not an application name", r.String(), r.App)
	}
	if !versionForm.MatchString(r.Version) {
		return errs.Errorf(errs.Invalid, "release %.100q: %.100q is not a version", r.String(), r.Version)
	}
	return nil
}

// String returns "APP@VERSION".
func (r Ref) String() string { return r.App + "@" + r.Version }

// Path returns the name under which r is signed: "app/wallet/r412.abcdef012345".
func Path(r Ref) string { return Role(r.App) + "/" + r.Version }

// Role returns the role whose keys may release app: "app/wallet".
func Role(app string) string { return "app/" + app }

// Channel is the name of a group of nodes: "staging", "live"; or "local/wallet", which is the
// channel of one application.
type Channel string

// localChannels is what Local's channels begin with. It is not a channel itself.
const localChannels = "local"

// Local returns the channel of the short path: what `overland seal -o FILE` alone promotes app to.
// It runs app and the agent and nothing else, so one project's file carries one project.
func Local(app string) Channel { return Channel(localChannels + "/" + app) }

// ParseChannel returns s as a Channel: lower-case letters, digits and "-", or "local/" and the name
// of an application. The error is of kind Invalid.
func ParseChannel(s string) (Channel, error) {
	name, local := strings.CutPrefix(s, localChannels+"/")
	switch {
	case s == localChannels:
		return "", errs.Hint(errs.Errorf(errs.Invalid, "channel %s: each application has its own", s), "%s/wallet is that of wallet", s)
	case !nameForm.MatchString(name):
		return "", errs.Hint(errs.Errorf(errs.Invalid, "channel %.100q: not a channel's name", s),
			"lower-case letters, digits and -, beginning with a letter: live")
	case local:
		return Local(name), nil
	}
	return Channel(s), nil
}

// admits returns an error when c cannot run app, whoever signed it.
func (c Channel) admits(app string) error {
	own, local := strings.CutPrefix(string(c), localChannels+"/")
	if local && app != own && app != AgentApp {
		return errs.Hint(errs.Errorf(errs.Invalid, "channel %s runs %s alone, not %.100q", c, own, app),
			"promote both to a channel of another name, and seal that")
	}
	if app == AgentApp {
		return nil
	}
	return checkReserved(app)
}

// checkReserved returns an error of kind Invalid when no repository may have the name app.
func checkReserved(app string) error {
	if why := appfile.Reserved(app); why != "" {
		return errs.Hint(errs.Errorf(errs.Invalid, "the name %s is reserved: %s", app, why), "write another name in %s", appfile.FileName)
	}
	return nil
}

// Role returns the role whose keys may promote to c: "channel/live".
func (c Channel) Role() string { return "channel/" + string(c) }

// Speaks reports whether role is that of an application or of a channel, rather than one
// that speaks of all of them.
func Speaks(role string) bool {
	for _, of := range []string{Role(""), Channel("").Role(), FallbackRole("")} {
		if strings.HasPrefix(role, of) {
			return true
		}
	}
	return false
}

// ChannelPath returns the name under which c's release of app is signed: "channel/live/wallet".
func ChannelPath(c Channel, app string) string { return c.Role() + "/" + app }

func checkName(what, s string) error {
	if !nameForm.MatchString(s) {
		return fmt.Errorf("%s %.100q: not a name of lower-case letters, digits and -", what, s)
	}
	return nil
}
