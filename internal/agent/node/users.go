package node

import (
	"fmt"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// UserOf returns the uid, which is also the gid, of app's services on this machine when they name no
// user. It never changes, and no other application is given it, even after app is gone.
func (n *Node) UserOf(app string) (uid int, err error) {
	if uid, ok := n.State().Users[app]; ok {
		return uid, nil
	}
	err = n.Update(func(st *State) {
		taken := map[int]bool{}
		for _, u := range st.Users {
			taken[u] = true
		}
		if st.Users == nil {
			st.Users = map[string]int{}
		}
		if uid = st.Users[app]; uid != 0 {
			return
		}
		if uid = free(taken); uid != 0 {
			st.Users[app] = uid
		}
	})
	if err == nil && uid == 0 {
		err = errs.Hint(errs.Errorf(errs.Unavailable, "this machine has no uid left for a user of %s", app), "name one in overland.yaml: user: NAME")
	}
	return uid, err
}

// free returns the first uid that nobody has and that this machine maps, or 0.
func free(taken map[int]bool) int {
	for _, r := range appfile.OwnUsers() {
		for uid := r[0]; uid <= r[1] && mapped("uid_map", uid) && mapped("gid_map", uid); uid++ {
			if !taken[uid] && !known(uid) {
				return uid
			}
		}
	}
	return 0
}

// mapped reports whether the user namespace that we are in has id, by file of /proc/self.
func mapped(file string, id int) bool {
	const most = 64 << 10
	b, err := fsx.ReadFile(filepath.Join("/proc/self", file), most)
	if err != nil {
		return true // no user namespaces at all
	}
	for line := range strings.Lines(string(b)) {
		var first, outside, count int
		if n, _ := fmt.Sscan(line, &first, &outside, &count); n == 3 && id >= first && id-first < count {
			return true
		}
	}
	return false
}

// known reports whether the machine's user database has uid.
func known(uid int) bool {
	_, err := user.LookupId(strconv.Itoa(uid))
	return err == nil
}
