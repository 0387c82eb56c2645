package runtime

import (
	"fmt"
	"math"
	"os"
	"os/user"
	"strconv"
	"strings"

	"overland/internal/errs"
)

// User is the user that a service runs as.
type User struct {
	UID, GID uint32
	Groups   []uint32 // supplementary
	Home     string   // "" when unknown
}

// LookupUser returns the user that text names: "", a name, or uid[:gid]. "" is the caller's
// own. A uid needs no entry in the user database; its gid is then the same number. An
// unknown name is errs.NotFound.
func LookupUser(text string) (User, error) {
	if text == "" {
		text = strconv.Itoa(os.Geteuid()) + ":" + strconv.Itoa(os.Getegid())
	}
	id, group, hasGroup := strings.Cut(text, ":")
	var u User
	uid, idErr := strconv.ParseUint(id, 10, 32)
	entry, err := user.LookupId(id)
	if idErr != nil {
		entry, err = user.Lookup(id)
	}
	switch {
	case err == nil:
		if err := u.fill(entry); err != nil {
			return User{}, fmt.Errorf("user %q: %w", text, err)
		}
	case idErr == nil:
		u.UID, u.GID = uint32(uid), uint32(uid)
	default:
		return User{}, errs.Hint(errs.Errorf(errs.NotFound, "user %q: no such user on this machine", text),
			"make it with adduser, or write a uid")
	}
	if hasGroup {
		gid, err := strconv.ParseUint(group, 10, 32)
		if err != nil {
			return User{}, errs.Errorf(errs.Invalid, "user %q: the group must be a number", text)
		}
		u.GID, u.Groups = uint32(gid), nil
	}
	if u.UID == math.MaxUint32 || u.GID == math.MaxUint32 { // the kernel reads it as "leave it as it is": root's
		return User{}, errs.Errorf(errs.Invalid, "user %q: no user has that number", text)
	}
	return u, nil
}

func (u *User) fill(entry *user.User) error {
	uid, err := strconv.ParseUint(entry.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(entry.Gid, 10, 32)
	if err != nil {
		return err
	}
	u.UID, u.GID, u.Home = uint32(uid), uint32(gid), entry.HomeDir
	ids, err := entry.GroupIds()
	if err != nil {
		return nil //nolint:nilerr // no readable group database: the primary group is what there is
	}
	for _, id := range ids {
		if g, err := strconv.ParseUint(id, 10, 32); err == nil {
			u.Groups = append(u.Groups, uint32(g))
		}
	}
	return nil
}
