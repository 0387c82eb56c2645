package admission_test

import (
	"net"
	"syscall"
	"testing"

	"overland/internal/admission"
)

// broken is a listener that fails for good: its error knows the word temporary, and is not.
type broken struct{ net.Listener }

func (broken) Accept() (net.Conn, error) {
	return nil, &net.OpError{Op: "accept", Err: syscall.EINVAL}
}

// A listener that fails for good says so, and is not asked again and again.
func TestABrokenListenerEnds(t *testing.T) {
	plain, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := admission.Listen(broken{plain}, admission.Options{Conns: 1})
	defer l.Close()
	if c, err := l.Accept(); err == nil {
		t.Errorf("accepted %v", c.RemoteAddr())
	}
}
