package session

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"sync"
	"time"

	"overland/internal/procfs"
)

// Guarded reports whether a recorder can tell on this system which process connects to it.
const Guarded = true

const (
	known    = 32                    // how many processes that have connected before are tried first
	looks    = 3                     // a socket may be on its way from a parent to its child
	lookWait = 10 * time.Millisecond // between two looks
	patience = time.Second           // for the request of a stranger, which is not read
	answers  = 64                    // strangers who are told at once why they are refused; others are closed
)

// guard admits connections of the processes that the command started, and no others. Loopback is
// not a border: every user of the machine reaches it, and a recorder answers with whatever the
// operator's logins can read, and locks whatever it is asked for.
//
// All connections that wait are judged by one look at the machine's processes. So what strangers cost does not
// grow with how many connections they open, and the command does not wait behind them.
type guard struct {
	net.Listener

	above int // the process above the command
	peers func(net.Addr) (*procfs.Peers, error)

	mu       sync.Mutex
	waiting  []*visitor       // to be judged by the next look
	looking  bool             // look runs
	seen     []procfs.Process // descendants that have connected, the latest first
	refused  int
	stranger string // the first peer that was refused
	told     int    // strangers who are being answered
}

// visitor is a connection whose peer is not known yet.
type visitor struct {
	conn  net.Conn
	looks int // that did not find it
	judge chan bool
}

// newGuard returns l for processes below the process above.
func newGuard(l net.Listener, above int) *guard {
	return &guard{Listener: l, above: above, peers: procfs.PeersOf}
}

// strangers tells a person about the peers that were refused; "" = there were none.
func (g *guard) strangers() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused == 0 {
		return ""
	}
	return fmt.Sprintf("%d refused of processes that the command did not start (the first: %s)", g.refused, g.stranger)
}

// Accept implements net.Listener. The peer is checked at the first Read, so that no connection
// waits for the check of another.
func (g *guard) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guarded{Conn: c, g: g}, nil
}

// guarded is a connection from which nothing is read before its peer was admitted.
type guarded struct {
	net.Conn
	g    *guard
	once sync.Once
	err  error
}

func (c *guarded) Read(p []byte) (int, error) {
	c.once.Do(func() {
		if c.g.admits(c.Conn) {
			return
		}
		c.err = io.EOF
		c.refuse()
	})
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(p)
}

// refuse tells a stranger why he is refused. Of very many only some are told: each is a file of
// this process for a while.
func (c *guarded) refuse() {
	if !c.g.tell(1) {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // nothing of it stays, in the kernel neither
		}
		return
	}
	defer c.g.tell(-1)
	// Its request is received and dropped: a close with unread bytes would take the answer away.
	const most = 64 << 10
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, _ = c.Conn.Read(make([]byte, most))
	const body = "overland: this recorder serves only processes that its own command started\n"
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	fmt.Fprintf(c.Conn, "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		len(body), body)
}

// tell changes the number of strangers who are being answered by n, and reports whether it could.
func (g *guard) tell(n int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.told+n > answers {
		return false
	}
	g.told += n
	return true
}

// admits reports whether the other end of c belongs to a process below the command.
func (g *guard) admits(c net.Conn) bool {
	v := &visitor{conn: c, judge: make(chan bool, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, v)
	if !g.looking {
		g.looking = true
		go g.look()
	}
	g.mu.Unlock()
	return <-v.judge
}

// look judges those who wait, and those who come meanwhile, until nobody does.
func (g *guard) look() {
	for {
		g.mu.Lock()
		list := g.waiting
		g.waiting = nil
		g.looking = len(list) > 0
		g.mu.Unlock()
		if len(list) == 0 {
			return
		}
		again := g.judge(list)
		if len(again) == 0 {
			continue
		}
		time.Sleep(lookWait)
		g.mu.Lock()
		g.waiting = append(again, g.waiting...)
		g.mu.Unlock()
	}
}

// judge admits those of list whose socket a process below the command has, refuses the others, and
// returns those who need another look.
func (g *guard) judge(list []*visitor) (again []*visitor) {
	peers, err := g.peers(g.Addr())
	found := map[uint64]*visitor{}
	users := map[int][]uint64{} // of each user, the sockets in found
	for _, v := range list {
		var s procfs.Socket
		ok := false
		if err == nil {
			s, ok, err = peers.Of(v.conn)
		}
		switch {
		case err != nil:
			g.deny(v, err.Error())
		case ok:
			found[s.Inode] = v
			users[s.UID] = append(users[s.UID], s.Inode)
		default:
			g.deny(v, "it had gone already")
		}
	}
	admit := func(inode uint64) {
		if v := found[inode]; v != nil {
			v.judge <- true
			delete(found, inode)
		}
	}
	g.mu.Lock()
	seen := slices.Clone(g.seen)
	g.mu.Unlock()
	for _, p := range seen {
		if len(found) > 0 {
			_ = g.admitAll(p, found, admit)
		}
	}
	if len(found) == 0 {
		return nil
	}
	// The descriptors of some processes are hidden from us, such as those of apt's, which run as
	// another user: see vouched.
	var hidden []procfs.Process
	below, others, errOthers := procfs.Around(g.above)
	for _, p := range below {
		if errors.Is(g.admitAll(p, found, admit), fs.ErrPermission) {
			hidden = append(hidden, p)
		}
	}
	if errOthers == nil && len(found) > 0 {
		for _, uid := range vouched(users, hidden, others) {
			for _, inode := range users[uid] {
				admit(inode)
			}
		}
	}
	for uid, inodes := range users {
		for _, inode := range inodes {
			v := found[inode]
			if v == nil {
				continue
			}
			if v.looks++; v.looks < looks {
				again = append(again, v)
				continue
			}
			g.deny(v, fmt.Sprintf("user %d", uid))
		}
	}
	return again
}

// admitAll admits the sockets of found that p has; fs.ErrPermission when its descriptors are hidden.
func (g *guard) admitAll(p procfs.Process, found map[uint64]*visitor, admit func(inode uint64)) error {
	list, err := p.Sockets()
	if !same(p) {
		return fs.ErrNotExist // its number may be a stranger's by now, whose sockets these are
	}
	for _, inode := range list {
		if found[inode] != nil {
			g.note(p)
			admit(inode)
		}
	}
	return err
}

// same reports whether p has not ended.
func same(p procfs.Process) bool {
	now, err := procfs.Read(p.PID)
	return err == nil && now.Start == p.Start
}

// vouched returns those of users whose sockets are the command's though the descriptors of the processes
// hidden cannot be read: one of these is of that user, and none of others, which the command did not start.
// Root is believed: it could read all that we have. Our own user is not, whose other programs (a browser)
// are strangers too.
func vouched(users map[int][]uint64, hidden, others []procfs.Process) (list []int) {
	for uid := range users {
		of := func(p procfs.Process) bool { return p.Is(uid) }
		if slices.ContainsFunc(hidden, func(p procfs.Process) bool { return of(p) && same(p) }) &&
			(uid == 0 || !slices.ContainsFunc(others, of)) {
			list = append(list, uid)
		}
	}
	return list
}

// deny refuses v; peer says who it was.
func (g *guard) deny(v *visitor, peer string) {
	g.mu.Lock()
	if g.refused++; g.refused == 1 {
		g.stranger = peer
	}
	g.mu.Unlock()
	v.judge <- false
}

// note puts p first among those that have connected.
func (g *guard) note(p procfs.Process) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = slices.DeleteFunc(g.seen, func(old procfs.Process) bool { return old.PID == p.PID })
	g.seen = slices.Insert(g.seen, 0, p)
	g.seen = g.seen[:min(len(g.seen), known)]
}
