package flat

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// User is whom a container runs as, in the numbers of its image.
type User struct {
	ID, Group int
	Groups    []int  // further groups
	Home      string // "/" when the image does not say
}

// usersMost is the length of an image's files of users and groups, in bytes, at most.
const usersMost = 4 << 20

// LookupUser returns the user that text names in the image below root: "", a name or a number, and after a ":" the
// group, a name or a number. "" is root. A number needs no entry, and its group is then 0; a name without one is
// errs.NotFound. With a group the user has no further ones.
func LookupUser(root *os.Root, text string) (User, error) {
	user, group, grouped := strings.Cut(text, ":")
	if user == "" {
		user = "0"
	}
	u := User{Home: "/"}
	id, isID := number(user)
	names, err := table(root, "/etc/passwd", 7)
	if err != nil {
		return User{}, err
	}
	found := false
	for _, f := range names {
		uid, ok := number(f[2])
		gid, okGroup := number(f[3])
		if found = ok && okGroup && (f[0] == user || isID && uid == id); found {
			u.ID, u.Group, u.Home, user = uid, gid, f[5], f[0]
			break
		}
	}
	switch {
	case !found && !isID:
		return User{}, errs.Errorf(errs.NotFound, "user %.100q: the image has no such user", text)
	case !found:
		u.ID = id
	}
	if u.Home == "" {
		u.Home = "/"
	}
	groups, err := table(root, "/etc/group", 4)
	if err != nil {
		return User{}, err
	}
	if grouped {
		u.Group, err = groupOf(groups, group)
		if err != nil {
			return User{}, errs.Errorf(errs.NotFound, "user %.100q: %w", text, err)
		}
		return u, nil
	}
	for _, f := range groups {
		gid, ok := number(f[2])
		for member := range strings.SplitSeq(f[3], ",") {
			if ok && found && member == user {
				u.Groups = append(u.Groups, gid)
				break
			}
		}
	}
	return u, nil
}

func groupOf(groups [][]string, text string) (int, error) {
	id, isID := number(text)
	for _, f := range groups {
		if gid, ok := number(f[2]); ok && f[0] == text {
			return gid, nil
		}
	}
	if !isID {
		return 0, errors.New("the image has no such group")
	}
	return id, nil
}

// number returns the user or group of that number. The highest is none: the kernel reads it as "leave it as it is", which is root's.
func number(text string) (int, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return int(n), err == nil && n < math.MaxUint32 && n <= math.MaxInt // of 32 bits on some CPUs
}

// table returns the lines of the file name of the image, each of fields parts; none when it is not there.
func table(root *os.Root, name string, fields int) ([][]string, error) {
	t := tree{root: root}
	file, err := t.follow(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := fsx.OpenIn(root, file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := fsx.Read(f, name, usersMost)
	if err != nil {
		return nil, errs.E(errs.Untrusted, err)
	}
	var list [][]string
	for line := range strings.Lines(string(b)) {
		if parts := strings.Split(strings.TrimSpace(line), ":"); len(parts) == fields && line[0] != '#' {
			list = append(list, parts)
		}
	}
	return list, nil
}

// follow returns the file that name is once all links were followed as in a container.
func (t *tree) follow(name string) (string, error) {
	for range linksMost {
		dir, base := path.Split(name)
		dir, there, err := t.resolve(dir, false)
		if err != nil {
			return "", err
		}
		if !there {
			return "", fs.ErrNotExist
		}
		at := path.Join(dir, base)
		info, err := t.root.Lstat(at)
		if err != nil || info.Mode().IsRegular() {
			return at, err
		}
		if info.Mode().Type() != fs.ModeSymlink {
			return "", untrusted("%.200q is not a file", at)
		}
		to, err := t.root.Readlink(at)
		if err != nil {
			return "", err
		}
		if name = to; !path.IsAbs(to) {
			name = dir + "/" + to // not cleaned: what is before a ".." may be a link
		}
	}
	return "", untrusted("%.200q: more than %d links", name, linksMost)
}
