package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"strconv"

	"overland/internal/appfile"
	"overland/internal/procfs"
	"overland/internal/runtime"
)

// Listeners implements runtime.PortTeller: services share the machine's network with the agent. Whose
// a socket is the kernel says, by the descriptors of the processes of a run; where the agent may not
// look at those (root in a container that cannot trace), by the user who made it.
func (r *Runtime) Listeners(protocol appfile.Protocol, number int, records []string) ([]runtime.Listener, error) {
	found, err := procfs.Listeners(string(protocol), number)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, errors.ErrUnsupported
	}
	if err != nil || len(found) == 0 {
		return nil, err
	}
	held, closed := map[uint64]int{}, map[int]record{}
	for k, path := range records {
		rec, ok := find(path)
		if !ok {
			continue
		}
		for _, p := range rec.family() {
			sockets, err := p.Sockets()
			if errors.Is(err, fs.ErrPermission) {
				closed[k] = rec
			}
			for _, inode := range sockets {
				held[inode] = k
			}
		}
	}
	var strange []uint64
	list := make([]runtime.Listener, len(found))
	for n, l := range found {
		list[n] = runtime.Listener{At: l.At, Owner: runtime.Stranger}
		if k, ok := held[l.Inode]; ok {
			list[n].Owner = k
			continue
		}
		for k, rec := range closed {
			if uint32(l.UID) == rec.UID {
				list[n].Owner = k
			} else if rec.UID == 0 && list[n].Owner < 0 {
				list[n].Owner = runtime.Untold // it may have become somebody else before it listened
			}
		}
		if list[n].Owner == runtime.Stranger {
			strange = append(strange, l.Inode)
		}
	}
	if len(strange) == 0 {
		return list, nil
	}
	holders := procfs.Holders(strange)
	for n, l := range found {
		if list[n].Owner == runtime.Stranger {
			p, known := holders[l.Inode]
			list[n].Who = describe(p, known, l.UID)
		}
	}
	return list, nil
}

// describe says for people who holds a socket that uid made.
func describe(p procfs.Process, known bool, uid int) string {
	name := strconv.Itoa(uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	if !known {
		return "a process of user " + name
	}
	return fmt.Sprintf("process %d (%s) of user %s", p.PID, p.Name(), name)
}
