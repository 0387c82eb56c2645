package release

import (
	"fmt"
	"regexp"
	"strings"

	"overland/internal/errs"
)

// AgentApp is the application that is Overland's own agent: it has artifacts and no services.
const AgentApp = "overland-agent"

// Local is the channel of the short path: what `overland seal -o FILE` alone promotes to.
const Local Channel = "local"

var (
	nameForm    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	versionForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,126}$`)
)

// Ref names a release: "wallet@r412.abcdef012345".
type Ref struct{ App, Version string }

// ParseRef returns s, "APP@VERSION", as a Ref. The error is of kind Invalid.
func ParseRef(s string) (Ref, error) {
	app, version, _ := strings.Cut(s, "@")
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

// Channel is the name of a group of nodes: "staging", "live".
type Channel string

// ParseChannel returns s as a Channel: lower-case letters, digits and
// "-". The error is of kind Invalid.
func ParseChannel(s string) (Channel, error) {
	if !nameForm.MatchString(s) {
		return "", errs.Hint(errs.Errorf(errs.Invalid, "channel %.100q: not a channel's name", s),
			"lower-case letters, digits and -, beginning with a letter: live")
	}
	return Channel(s), nil
}

// Role returns the role whose keys may promote to c: "channel/live".
func (c Channel) Role() string { return "channel/" + string(c) }

// ChannelPath returns the name under which c's release of app is signed: "channel/live/wallet".
func ChannelPath(c Channel, app string) string { return c.Role() + "/" + app }

func checkName(what, s string) error {
	if !nameForm.MatchString(s) {
		return fmt.Errorf("%s %.100q: not a name of lower-case letters, digits and -", what, s)
	}
	return nil
}
