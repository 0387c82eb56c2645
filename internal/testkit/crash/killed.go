package crash

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Other returns this test program as another process, whose TestMain finds part in the variable
// name and args after the program's own.
func Other(name, part string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), name+"="+part)
	cmd.Stderr = os.Stderr
	return cmd
}

// Killed starts cmd and kills it, as kill -9 does, once it has said so many whole lines. Before
// that it calls meanwhile, which may be nil. It returns all whole lines; it is an error when those
// were fewer. cmd's standard input stays open until then.
func Killed(cmd *exec.Cmd, lines int, meanwhile func()) (said []string, err error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	buf, killed := make([]byte, 100), false
	for err == nil {
		var n int
		n, err = out.Read(buf)
		b.Write(buf[:n])
		if !killed && bytes.Count(b.Bytes(), []byte("\n")) >= lines {
			killed = true
			if meanwhile != nil {
				meanwhile()
			}
			err = errors.Join(err, cmd.Process.Kill())
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if ended := cmd.Wait(); !killed {
		err = errors.Join(err, ended, errors.New("it ended by itself"))
	}
	whole := strings.Split(b.String(), "\n")
	return whole[:len(whole)-1], err
}
