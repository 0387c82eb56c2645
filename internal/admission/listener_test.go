package admission_test

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/admission"
	"overland/internal/testkit/badlink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opened returns a Listener on loopback, and what connects to it from an address.
func opened(t *testing.T, o admission.Options) (l *admission.Listener, dial func(from string) net.Conn) {
	t.Helper()
	plain, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = admission.Listen(plain, o)
	t.Cleanup(func() { l.Close() })
	return l, func(from string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

func accept(t *testing.T, l *admission.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// from reports whether c came from the address ip.
func from(c net.Conn, ip string) bool { return c.RemoteAddr().(*net.TCPAddr).IP.String() == ip }

// closed reports whether the other side closed c.
func closed(t *testing.T, c net.Conn) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Read(make([]byte, 1))
	var late net.Error
	return err != nil && !(errors.As(err, &late) && late.Timeout())
}

func TestConnectionsWaitWhenThereAreTooMany(t *testing.T) {
	m := badlink.NewMemory()
	l := admission.Listen(m, admission.Options{Conns: 1, Room: 1})
	got, done := make(chan net.Conn), make(chan error)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				done <- err
				return
			}
			got <- c
		}
	}()
	dial := func() net.Conn {
		c, err := m.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	defer dial().Close()
	held := <-got
	second := dial()
	defer second.Close()
	select {
	case <-got:
		t.Error("a second connection has a place")
	case <-time.After(10 * time.Millisecond):
	}
	third := dial() // the one that may wait is there already
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Error("a third connection waits")
	}
	third.Close()
	held.Close()
	held.Close() // frees one place, not two
	held = <-got
	l.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	held.Close()
}

// A connection that is kept for later gives its place to one that waits, now or when it becomes idle.
func TestAnIdleConnectionGivesItsPlace(t *testing.T) {
	l, dial := opened(t, admission.Options{Conns: 1})
	old := dial("127.0.0.2")
	admission.ConnState(accept(t, l), http.StateIdle)
	dial("127.0.0.2") // nobody else would make room
	second := accept(t, l)
	if !closed(t, old) {
		t.Error("the idle connection is open")
	}
	admission.ConnState(second, http.StateActive)
	dial("127.0.0.2")
	admission.WaitFor(l, 1)
	admission.ConnState(second, http.StateIdle)
	accept(t, l)
}

// Of the client that has the most, the connection that said nothing for longest goes first, then the
// one that is idle for longest, then one that is answered; never the only one of a client.
func TestTheClientWithTheMostMakesRoom(t *testing.T) {
	l, dial := opened(t, admission.Options{Conns: 4})
	other := dial("127.0.0.9")
	admission.ConnState(accept(t, l), http.StateActive)
	busy := dial("127.0.0.2")
	admission.ConnState(accept(t, l), http.StateActive)
	idle := dial("127.0.0.2")
	admission.ConnState(accept(t, l), http.StateIdle)
	silent := dial("127.0.0.2")
	accept(t, l)
	for _, c := range []struct {
		from  string
		loser net.Conn
	}{{"127.0.0.3", silent}, {"127.0.0.4", idle}} {
		dial(c.from)
		if got := accept(t, l); !from(got, c.from) {
			t.Errorf("%s has the place of %s", got.RemoteAddr(), c.from)
		} else {
			admission.ConnState(got, http.StateActive)
		}
		if !closed(t, c.loser) {
			t.Errorf("%s: another connection made room", c.from)
		}
	}
	// Everybody has one that is being answered: the next to come waits.
	dial("127.0.0.5")
	admission.WaitFor(l, 1)
	for _, c := range []net.Conn{other, busy} {
		if err := c.SetReadDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s lost its only place: %v", c.LocalAddr(), err)
		}
	}
}

// Those that wait get a place in turn by how many their client has, and not by who came first.
func TestTheClientWithTheFewestIsNext(t *testing.T) {
	l, dial := opened(t, admission.Options{Conns: 2, Room: 8})
	dial("127.0.0.2")
	first := accept(t, l)
	admission.ConnState(first, http.StateActive)
	dial("127.0.0.4")
	held := accept(t, l)
	admission.ConnState(held, http.StateActive)
	for range 3 {
		dial("127.0.0.2")
	}
	admission.WaitFor(l, 3)
	dial("127.0.0.3")
	admission.WaitFor(l, 4)
	held.Close()
	if got := accept(t, l); !from(got, "127.0.0.3") {
		t.Errorf("%s is served before the one that has nothing", got.RemoteAddr())
	}
}

// Nobody takes the room in which others wait.
func TestTheRoomIsShared(t *testing.T) {
	l, dial := opened(t, admission.Options{Conns: 1, Room: 3})
	dial("127.0.0.4")
	held := accept(t, l)
	admission.ConnState(held, http.StateActive)
	var crowd []net.Conn
	for n := range 3 {
		crowd = append(crowd, dial("127.0.0.2"))
		admission.WaitFor(l, n+1)
	}
	dial("127.0.0.3")
	if !closed(t, crowd[2]) {
		t.Error("the last to come of those that crowd did not make room")
	}
	held.Close()
	one := accept(t, l)
	one.Close()
	two := accept(t, l)
	if !from(one, "127.0.0.3") && !from(two, "127.0.0.3") {
		t.Errorf("served: %s and %s", one.RemoteAddr(), two.RemoteAddr())
	}
}

// scarce is a listener on a machine that has no descriptors left now and then.
type scarce struct {
	net.Listener
	none chan struct{}
	next chan net.Conn
}

func (s *scarce) Accept() (net.Conn, error) {
	select {
	case <-s.none:
		return nil, syscall.EMFILE
	case c, ok := <-s.next:
		if !ok {
			return nil, net.ErrClosed
		}
		return c, nil
	}
}

// When no descriptor is left for a new connection, one that nobody needs now is closed: of those that
// wait the last to come, then the one that is idle; what is being answered stays.
func TestADescriptorIsMadeFree(t *testing.T) {
	plain, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scarce{plain, make(chan struct{}), make(chan net.Conn)}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		defer close(s.next)
		for {
			c, err := plain.Accept()
			if err != nil {
				return
			}
			s.next <- c
		}
	}()
	l := admission.Listen(s, admission.Options{Conns: 2, Room: 8})
	defer func() { l.Close(); <-fed }()
	dial := func() net.Conn {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", plain.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	busy := dial()
	admission.ConnState(accept(t, l), http.StateActive)
	other := dial()
	second := accept(t, l)
	admission.ConnState(second, http.StateActive)
	waits := dial()
	admission.WaitFor(l, 1)
	s.none <- struct{}{}
	if !closed(t, waits) {
		t.Fatal("the one that waits is open")
	}
	admission.ConnState(second, http.StateIdle)
	s.none <- struct{}{}
	if !closed(t, other) {
		t.Fatal("the idle one is open")
	}
	s.none <- struct{}{}
	dial() // the listener goes on
	accept(t, l)
	if err := busy.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := busy.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the one that is answered: %v", err)
	}
}

// When descriptors are short, what waits gives way, also of another listener's clients; places do not.
func TestFilesAreLeftForOthers(t *testing.T) {
	files := &admission.Files{Most: 3}
	l, dial := opened(t, admission.Options{Conns: 1, Room: 8, Files: files})
	other, dialOther := opened(t, admission.Options{Conns: 1, Room: 8, Files: files})
	dialOther("127.0.0.2")
	accept(t, other)
	dial("127.0.0.2")
	held := accept(t, l)
	admission.ConnState(held, http.StateActive)
	dial("127.0.0.2")
	admission.WaitFor(l, 1)
	if !closed(t, dial("127.0.0.2")) {
		t.Error("a fourth connection is open")
	}
	held.Close()
	if got := accept(t, l); !from(got, "127.0.0.2") {
		t.Errorf("served: %s", got.RemoteAddr())
	}
	dial("127.0.0.2")
	admission.WaitFor(l, 1)
}

// The connections of a trusted proxy are not counted together: who comes by it is not known here.
func TestATrustedProxyIsNotOneClient(t *testing.T) {
	l, dial := opened(t, admission.Options{Conns: 2, Trusted: admission.Prefixes("127.0.0.2/32")})
	for range 2 {
		dial("127.0.0.2")
		admission.ConnState(accept(t, l), http.StateActive)
	}
	dial("127.0.0.3")
	admission.WaitFor(l, 1)
}

// named is a listener whose connections come from the addresses in remote, one after the other.
type named struct {
	net.Listener
	remote []string
}

func (n *named) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if err != nil {
		return nil, err
	}
	at := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(n.remote[0]))
	n.remote = n.remote[1:]
	return from6{c, at}, nil
}

type from6 struct {
	net.Conn
	remote net.Addr
}

func (c from6) RemoteAddr() net.Addr { return c.remote }

// A proxy with an IPv6 address is known by all of it, although clients are counted by the first half.
func TestATrustedProxyMayBeOneIPv6Address(t *testing.T) {
	m := badlink.NewMemory()
	l := admission.Listen(&named{m, []string{"[fd00::5]:1", "[fd00::5]:2", "[fd01::1]:1"}},
		admission.Options{Conns: 2, Trusted: admission.Prefixes("fd00::5/128")})
	defer l.Close()
	dial := func() {
		c, err := m.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	for range 2 {
		dial()
		admission.ConnState(accept(t, l), http.StateActive)
	}
	dial()
	admission.WaitFor(l, 1)
}
