package record_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"overland/internal/lockfile"
	"overland/internal/record"
)

// headerOf reads lines "name: value".
func headerOf(text string) http.Header {
	h := http.Header{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			h.Add(name, strings.TrimSpace(value))
		}
	}
	return h
}

// Whatever a lock and a request say, the line that answers has what the request says of the fields that
// always count, and the order of the lines does not decide whether there is one.
func FuzzPick(f *testing.F) {
	f.Add("accept: a/b\ngit-protocol: version=2", "vary: user-agent, accept", "user-agent: x", "content-encoding: gzip", "Accept: a/b\nUser-Agent: x\nAccept-Encoding: gzip;q=0.5, br;q=0")
	f.Add("range: bytes=0-1", "accept-ranges: bytes", "cookie: a=xxxxx-1", "", "Range: bytes=0-1\nCookie: a=xxxxx-1; b")
	f.Add("", "", "", "", "Accept: */*")
	f.Fuzz(func(t *testing.T, asked1, header1, asked2, header2, request string) {
		fields := func(text string) lockfile.Fields { return lockfile.NewFields(strings.Split(text, "\n")) }
		list := []lockfile.Entry{
			{Key: "1", Status: 200, Asked: fields(asked1), Header: fields(header1)}, {Key: "2", Status: 206, Asked: fields(asked2), Header: fields(header2)},
		}
		h := headerOf(request)
		got, ok := record.Pick(list, h)
		for _, name := range []string{"Accept", "Git-Protocol"} {
			want := strings.Join(h[name], ", ")
			said, _ := got.Asked.Get(strings.ToLower(name))
			if ok && want != said && !strings.ContainsFunc(want, func(r rune) bool { return r <= ' ' || r == 0x7f }) && (name != "Accept" || want != "*/*") {
				t.Errorf("%q answers a request with %s %q", got.Asked, name, want)
			}
		}
		slices.Reverse(list)
		if _, again := record.Pick(list, h); again != ok {
			t.Errorf("%v, and the other way round %v", ok, again)
		}
	})
}

// A lock keeps no value of a cookie, whatever surrounds it, and what it keeps is kept as it is.
func FuzzSetCookie(f *testing.F) {
	f.Add("sid", "Path=/; Max-Age=60")
	f.Add("", "expires=never; a=b")
	f.Fuzz(func(t *testing.T, name, rest string) {
		const secret = "S3CRETVALUE"
		name = strings.NewReplacer("=", "", ";", "").Replace(name)
		for _, v := range []string{name + "=" + secret + ";" + rest, secret + ";" + rest} {
			once := record.SetCookie(v)
			if strings.Contains(once, secret) && !strings.Contains(name+";"+rest, secret) {
				t.Errorf("%q keeps %q", once, v)
			}
			if twice := record.SetCookie(once); twice != once {
				t.Errorf("%q, then %q", once, twice)
			}
		}
	})
}

// A client's cookies are the same in any order.
func FuzzCookies(f *testing.F) {
	f.Add("a=1; b=2;c", "; ;=")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !record.SameCookies(a, a) || !slices.Equal(record.Pairs(a+";"+b), record.Pairs(b+";"+a)) {
			t.Errorf("%q, %q", a, b)
		}
		for _, pair := range record.Pairs(a) {
			if !strings.Contains(pair, "=") || strings.Contains(pair, ";") {
				t.Errorf("%q of %q", pair, a)
			}
		}
	})
}

func FuzzRange(f *testing.F) {
	f.Add("bytes=5-")
	f.Add("bytes=-5")
	f.Fuzz(func(t *testing.T, s string) {
		r := &http.Request{Header: http.Header{"Range": {s}}}
		if n, ok := record.Offset(r); n < 0 || ok && n > 0 && !strings.HasSuffix(s, "-") {
			t.Errorf("%q: %d, %v", s, n, ok)
		}
	})
}
