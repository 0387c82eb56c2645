package lockfile_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
)

func write(t interface{ Fatal(args ...any) }, l *lockfile.Lock) string {
	var b bytes.Buffer
	if err := l.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestALockIsOneText(t *testing.T) {
	entry := rapid.Custom(func(t *rapid.T) lockfile.Entry {
		e := lockfile.Entry{
			Protocol: rapid.SampledFrom([]string{"go", "npm", "url"}).Draw(t, "protocol"),
			Key:      rapid.StringMatching(`[ -~é<>&]{1,30}`).Draw(t, "key"),
			Asked:    lockfile.NewFields(rapid.SliceOfN(rapid.SampledFrom([]string{"accept: a", "range: bytes=0-1", "cookie: a=xxxxx-1; b=xxxxx-2"}), 0, 2).Draw(t, "asked")),
			Header:   lockfile.NewFields(rapid.SliceOfN(rapid.SampledFrom([]string{"set-cookie: a=xxxxx-1; Path=/", "set-cookie: b=xxxxx-0", "x: \xff\xfe", "x: \uf7ff", "etag: é"}), 0, 3).Draw(t, "header")),
			Status:   rapid.SampledFrom([]int{200, 404, 410}).Draw(t, "status"),
			Mutable:  rapid.Bool().Draw(t, "mutable"),
		}
		if e.Exists() {
			e.Blob, e.Size = digest.Of([]byte(e.Key)), rapid.Int64Range(0, 1<<40).Draw(t, "size")
			e.MediaType, e.Proof = "text/plain", lockfile.Proof{"go.sum", rapid.String().Draw(t, "proof")}
		}
		return e
	})
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfNDistinct(entry, 0, 9, func(e lockfile.Entry) [3]string { return [3]string{e.Protocol, e.Key, string(e.Asked)} }).Draw(t, "entries")
		text := write(t, &lockfile.Lock{Entries: list})
		back, err := lockfile.Parse(strings.NewReader(text), 0)
		if err != nil {
			t.Fatal(err)
		}
		if again := write(t, back); again != text {
			t.Fatalf("%q, then %q", text, again)
		}
		for _, e := range list {
			if got := back.Variants(e.Protocol, e.Key); !slices.Contains(got, e) {
				t.Fatal(cmp.Diff(e, got))
			}
			if _, ok := back.Find(e.Protocol, e.Key); !ok {
				t.Fatalf("not found: %v", e)
			}
		}
		if d := lockfile.Diff(back, back); len(d) != 0 {
			t.Fatal(d)
		}
		if d := lockfile.Diff(&lockfile.Lock{}, back); len(d) != len(list) {
			t.Fatal(d)
		}
	})
}

func TestBadLocks(t *testing.T) {
	blob := string(digest.Of(nil))
	good := `{"protocol":"go","key":"k","blob":"` + blob + `"}`
	if _, err := lockfile.Parse(strings.NewReader("overland.lock 1\n"+good+"\n"), 0); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"empty":         "",
		"another file":  "module x\n",
		"version":       "overland.lock 2\n",
		"twice":         "overland.lock 1\n" + good + "\n" + good + "\n",
		"unknown key":   "overland.lock 1\n" + `{"protocol":"go","key":"k","blob":"` + blob + `","x":1}`,
		"no protocol":   "overland.lock 1\n" + `{"key":"k","blob":"` + blob + `"}`,
		"control":       "overland.lock 1\n" + `{"protocol":"go","key":"a\nb","blob":"` + blob + `"}`,
		"digest":        "overland.lock 1\n" + `{"protocol":"go","key":"k","blob":"sha256:../../x"}`,
		"no blob":       "overland.lock 1\n" + `{"protocol":"go","key":"k"}`,
		"size of none":  "overland.lock 1\n" + `{"protocol":"go","key":"k","status":404,"size":1}`,
		"not an answer": "overland.lock 1\n" + `{"protocol":"go","key":"k","status":304,"blob":"` + blob + `"}`,
		"a login":       "overland.lock 1\n" + `{"protocol":"url","key":"k","asked":["authorization: Bearer x"],"blob":"` + blob + `"}`,
		"a cookie":      "overland.lock 1\n" + `{"protocol":"url","key":"k","header":["set-cookie: a=b; Path=/"],"blob":"` + blob + `"}`,
		"not a field":   "overland.lock 1\n" + `{"protocol":"url","key":"k","header":["a b: c"],"blob":"` + blob + `"}`,
		"two lines":     "overland.lock 1\n" + `{"protocol":"url","key":"k","header":["a: b\nc: d"],"blob":"` + blob + `"}`,
		"same asked":    "overland.lock 1\n" + strings.Repeat(`{"protocol":"url","key":"k","asked":["accept: a"],"blob":"`+blob+`"}`+"\n", 2),
		"status":        "overland.lock 1\n" + `{"protocol":"go","key":"k","status":500}`,
		"negative":      "overland.lock 1\n" + `{"protocol":"go","key":"k","size":-1,"blob":"` + blob + `"}`,
		"two on a line": "overland.lock 1\n" + good + good,
		"long line":     "overland.lock 1\n" + `{"protocol":"go","key":"` + strings.Repeat("k", lockfile.LineLimit) + `"}`,
	} {
		if _, err := lockfile.Parse(strings.NewReader(text), 0); errs.KindOf(err) != errs.Invalid || err == nil {
			t.Errorf("%s: error %v", what, err)
		}
	}
	for _, mark := range []string{"<<<<<<< HEAD", "||||||| base", "=======", ">>>>>>> topic"} {
		_, err := lockfile.Parse(strings.NewReader("overland.lock 1\n"+good+"\n"+mark+"\n"), 0)
		if errs.KindOf(err) != errs.Invalid || err == nil || !strings.Contains(errs.HintOf(err), "both sides") {
			t.Errorf("%s: error %v", mark, err)
		}
	}
	if _, err := lockfile.Parse(strings.NewReader("overland.lock 1\n"+good+"\n"), 40); errs.KindOf(err) != errs.Invalid || err == nil {
		t.Errorf("over the limit: error %v", err)
	}
}

func TestDiffNamesWhatMoved(t *testing.T) {
	a := &lockfile.Lock{Entries: []lockfile.Entry{{Protocol: "go", Key: "a"}, {Protocol: "go", Key: "b", Size: 1}}}
	b := &lockfile.Lock{Entries: []lockfile.Entry{{Protocol: "go", Key: "b", Size: 2}, {Protocol: "npm", Key: "a"}}}
	var got []string
	for _, c := range lockfile.Diff(a, b) {
		switch {
		case c.Old == nil:
			got = append(got, "+"+c.New.Protocol+c.New.Key)
		case c.New == nil:
			got = append(got, "-"+c.Old.Protocol+c.Old.Key)
		default:
			got = append(got, "~"+c.New.Protocol+c.New.Key)
		}
	}
	if d := cmp.Diff([]string{"-goa", "~gob", "+npma"}, got); d != "" {
		t.Error(d)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("overland.lock 1\n" + `{"protocol":"go","key":"k","blob":"` + string(digest.Of(nil)) + `","proof":{"kind":"go.sum","value":"h1:x"}}` + "\n"))
	f.Add([]byte("overland.lock 1\n" + `{"protocol":"go","key":"k","status":404}` + "\n"))
	f.Add([]byte("overland.lock 1\n" + `{"protocol":"url","key":"k","asked":["accept: a","cookie: a=xxxxx-1"],"status":302,"blob":"` + string(digest.Of(nil)) +
		`","header":["location: /b?x=1","set-cookie: a=xxxxx-1; Path=/"]}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := lockfile.Parse(bytes.NewReader(b), 1<<20)
		if err != nil {
			return
		}
		text := write(t, l)
		for _, e := range l.Entries {
			for _, name := range []string{"authorization", "private-token"} {
				if v, _ := e.Asked.Get(name); v != "" && !lockfile.IsMark(v) {
					t.Errorf("a secret: %s", e.Asked)
				}
			}
		}
		if _, err := lockfile.Parse(strings.NewReader(text), 0); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// A secret in a key, written by hand or before there were masks, is refused and not shown.
func TestS20ALockWithASecretIsRefused(t *testing.T) {
	for _, key := range []string{"https://h.example/a?x=1&token=QUERYSECRET", "POST https://h.example/a?sig=QUERYSECRET sha256:12"} {
		line := fmt.Sprintf("{\"protocol\":\"url\",\"key\":%q,\"status\":404,\"mutable\":true}\n", key)
		_, err := lockfile.Parse(strings.NewReader("overland.lock 1\n"+line), 0)
		if errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" || strings.Contains(err.Error(), "QUERYSECRET") || !strings.Contains(err.Error(), "xxxxx") {
			t.Errorf("%s: %v", key, err)
		}
		if _, err := lockfile.Parse(strings.NewReader("overland.lock 1\n"+strings.ReplaceAll(line, "QUERYSECRET", "xxxxx")), 0); err != nil {
			t.Errorf("%s, masked: %v", key, err)
		}
	}
}

// What a reviewer reads in a line is what is taken from it.
func TestALineMeansOneThing(t *testing.T) {
	blob := `"blob":"` + string(digest.Of([]byte("x"))) + `","size":1`
	for text, fine := range map[string]bool{
		`{"protocol":"url","key":"https://a.example/",` + blob + `}`:                                         true,
		` { "key" : "a\"key\":", "protocol":"url", "proof": {"value":"key","kind":"sha256"}, ` + blob + ` }`: true,
		`{"protocol":"url","key":"https://a.example/","key":"http://127.0.0.1/",` + blob + `}`:               false,
		`{"protocol":"url","key":"https://a.example/","Key":"http://127.0.0.1/",` + blob + `}`:               false,
		`{"protocol":"url","\u006bey":"https://a.example/",` + blob + `}`:                                    false,
		`{"protocol":"url","key":"https://a.example/","\u017fize":2,` + blob + `}`:                           false,
		`{"protocol":"url","key":"a","proof":{"kind":"a","value":"b","kind":"c"},` + blob + `}`:              false,
	} {
		if _, err := lockfile.Parse(strings.NewReader("overland.lock 1\n"+text+"\n"), 0); (err == nil) != fine {
			t.Errorf("%s: %v", text, err)
		}
	}
}
