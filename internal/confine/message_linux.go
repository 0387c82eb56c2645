package confine

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// SocketPair returns the parent's and the child's end of a socket that keeps messages apart.
func SocketPair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	defer ours.Close()
	c, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return c.(*net.UnixConn), theirs, nil
}

const (
	messageLimit = 64 << 10 // how long a message is at most, in bytes; longer ones are sent in parts
	filesMost    = 16       // how many files come with one
)

// Send writes v as one JSON text in parts, of which the last begins with 1, and sends files along.
func Send(c *net.UnixConn, v any, files ...*os.File) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	for {
		n := min(len(b), messageLimit-1)
		last := byte(0)
		if n == len(b) {
			last = 1
		}
		if _, _, err := c.WriteMsgUnix(append([]byte{last}, b[:n]...), rights, nil); err != nil {
			return err
		}
		if b, rights = b[n:], nil; last == 1 {
			return nil
		}
	}
}

// Receive reads what Send wrote into v, and returns the files that came with it, ready for the
// runtime's poller. The caller closes them, with an error too.
func Receive(c *net.UnixConn, v any) (files []*os.File, _ error) {
	const most = 32 << 20
	var all []byte
	for buf, oob := make([]byte, messageLimit), make([]byte, unix.CmsgSpace(filesMost*4)); ; {
		n, on, _, _, err := c.ReadMsgUnix(buf, oob)
		if err != nil {
			return files, err
		}
		if n == 0 {
			return files, io.EOF
		}
		if on > 0 {
			files = append(files, filesOf(oob[:on])...)
		}
		if all = append(all, buf[1:n]...); len(all) > most {
			return files, errors.New("confine: a message that is too long")
		}
		if buf[0] == 1 {
			return files, json.Unmarshal(all, v)
		}
	}
}

func filesOf(oob []byte) (files []*os.File) {
	list, _ := unix.ParseSocketControlMessage(oob) // it is the kernel's
	for k := range list {
		fds, _ := unix.ParseUnixRights(&list[k])
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			_ = unix.SetNonblock(fd, true)
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files
}
