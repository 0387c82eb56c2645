package runtime_test

import (
	"net"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"overland/internal/appfile"
	"overland/internal/runtime"
)

// teller is a runtime that says who listens where: Who is a record, "" = a stranger.
type teller struct {
	fakeRuntime
	list map[string]string // address → record
}

func (r *teller) Listeners(_ appfile.Protocol, number int, records []string) (list []runtime.Listener, _ error) {
	for at, record := range r.list {
		l := runtime.Listener{At: netip.AddrPortFrom(netip.MustParseAddr(at), uint16(number)), Owner: slices.Index(records, record), Who: "process 7 (httpd) of user root"}
		if record == "?" {
			l.Owner = runtime.Untold
		}
		list = append(list, l)
	}
	return list, nil
}

// Who answers a self-test is who the kernel would give the connection to.
func TestWhoAnswersASelfTest(t *testing.T) {
	s := httptest.NewServer(nil)
	t.Cleanup(s.Close)
	at := s.Listener.Addr().(*net.TCPAddr)
	own := appfile.Port{Number: at.Port}
	for name, test := range map[string]struct {
		list  map[string]string
		ports []appfile.Port
		want  string // in the error; "" = none
	}{
		"ours":                           {map[string]string{"127.0.0.1": "me"}, nil, ""},
		"a stranger":                     {map[string]string{"127.0.0.1": ""}, nil, "process 7 (httpd) of user root answers there"},
		"ours behind a stranger":         {map[string]string{"127.0.0.1": "", "0.0.0.0": "me"}, nil, "answers there"},
		"a stranger behind ours":         {map[string]string{"127.0.0.1": "me", "0.0.0.0": ""}, nil, ""},
		"a stranger on IPv6 alone":       {map[string]string{"0.0.0.0": "me", "::": ""}, nil, ""},
		"a stranger on IPv6 and IPv4":    {map[string]string{"::": ""}, nil, "answers there"},
		"a stranger elsewhere":           {map[string]string{"127.0.0.1": "me", "10.0.0.1": ""}, nil, ""},
		"a fellow":                       {map[string]string{"127.0.0.1": "fellow"}, nil, ""},
		"a fellow on a port of its own":  {map[string]string{"127.0.0.1": "fellow"}, []appfile.Port{own}, "answers there"},
		"a fellow, and ours is another":  {map[string]string{"127.0.0.1": "fellow"}, []appfile.Port{{Number: 1}}, ""},
		"nobody can tell":                {map[string]string{"127.0.0.1": "?"}, []appfile.Port{own}, ""},
		"it went away, or never was one": {nil, nil, ""},
	} {
		inst := runtime.Instance{Record: "me", Fellows: []string{"fellow"}, Spec: appfile.Service{Ports: test.ports}}
		for _, c := range []appfile.Check{{TCP: at.String()}, {HTTP: s.URL, Status: 404}} {
			err := runtime.Try(t.Context(), &teller{list: test.list}, inst, c, 0)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %s: got %v, want %q", name, runtime.Title(c), err, test.want)
			}
		}
	}
}

// A declared port is proved though no check names it.
func TestADeclaredPortIsProved(t *testing.T) {
	for name, test := range map[string]struct {
		list map[string]string
		port string
		want string
	}{
		"ours":                                {map[string]string{"127.0.0.1": "me"}, "80", ""},
		"ours everywhere":                     {map[string]string{"::": "me"}, "127.0.0.1:80", ""},
		"nothing":                             {nil, "80", "nothing listens on port 80"},
		"nothing there":                       {map[string]string{"127.0.0.1": "me"}, "[::1]:80", "nothing listens on port [::1]:80"},
		"a fellow":                            {map[string]string{"127.0.0.1": "fellow"}, "80", "process 7 (httpd) of user root listens on port 80, not this service"},
		"a stranger beside":                   {map[string]string{"127.0.0.1": "me", "10.0.0.1": ""}, "80/udp", "process 7 (httpd) of user root listens on port 80/udp, not this service"},
		"a stranger on an address of its own": {map[string]string{"127.0.0.1": "me", "10.0.0.1": ""}, "127.0.0.1:80", ""},
	} {
		p, err := appfile.ParsePort(test.port)
		if err != nil {
			t.Fatal(err)
		}
		inst := runtime.Instance{Record: "me", Fellows: []string{"fellow"}, Spec: appfile.Service{Ports: []appfile.Port{p}, Readiness: 1, Stable: 1}}
		r := runtime.SelfTest(t.Context(), &teller{list: test.list}, inst, steady{})
		if r[0].Check != "port "+test.port || r[0].OK != (test.want == "") || !strings.HasPrefix(r[0].Err, test.want) {
			t.Errorf("%s: %+v, want %q", name, r[0], test.want)
		}
	}
	// A runtime that cannot tell proves nothing.
	inst := runtime.Instance{Spec: appfile.Service{Ports: []appfile.Port{{Number: 80}}, Stable: 1}}
	if r := runtime.SelfTest(t.Context(), &fakeRuntime{}, inst, steady{}); !r[0].OK {
		t.Errorf("%+v", r[0])
	}
}
