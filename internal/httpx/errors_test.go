package httpx_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/httpx"
)

// A client gets the status of the kind and a body in the form that its protocol
// needs, and nothing may keep either.
func TestErrors(t *testing.T) {
	missing := errs.Hint(errs.Errorf(errs.NotFound, "blob x: not here"), "copy it")
	quiet := slog.New(slog.DiscardHandler)
	for name, c := range map[string]struct {
		e      httpx.Errors
		err    error
		accept string
		status int
		kind   string
		body   string
	}{
		"json":     {httpx.Errors{Form: httpx.JSON}, missing, "", 404, "application/json", `{"code":"notfound","message":"blob x: not here","hint":"copy it"}` + "\n"},
		"text":     {httpx.Errors{}, missing, "*/*", 404, "text/plain; charset=utf-8", "overland: blob x: not here\n  hint: copy it\n"},
		"npm":      {httpx.Errors{}, errs.Errorf(errs.Denied, "no"), "application/json, */*", 403, "application/json", `{"error":"overland: no"}` + "\n"},
		"line":     {httpx.Errors{Form: httpx.Line}, errors.Join(missing, missing), "", 404, "text/plain; charset=utf-8", "blob x: not here\n"},
		"status":   {httpx.Errors{Form: httpx.Line}, httpx.WithStatus(missing, 413), "", 413, "text/plain; charset=utf-8", "blob x: not here\n"},
		"internal": {httpx.Errors{Form: httpx.Line, Log: quiet}, errors.New("/secret/path"), "", 500, "text/plain; charset=utf-8", "something went wrong on the site; its log says what\n"},
		"told":     {httpx.Errors{}, errors.New("disk"), "", 500, "text/plain; charset=utf-8", "overland: disk\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil)
			r.Header.Set("Accept", c.accept)
			w.Header().Set("ETag", `"of the blob"`)
			w.Header().Set("Retry-After", "5")
			c.e.Write(w, r, c.err)
			h := w.Header()
			if w.Code != c.status || h.Get("Content-Type") != c.kind || w.Body.String() != c.body {
				t.Errorf("got %d, %s, %q", w.Code, h.Get("Content-Type"), w.Body)
			}
			if h.Get("Cache-Control") != "no-store" || h.Get("ETag") != "" || h.Get("Retry-After") != "5" {
				t.Errorf("header %v", h)
			}
		})
	}
	if httpx.WithStatus(nil, 413) != nil {
		t.Error("nil stays nil")
	}
}

func TestRedacted(t *testing.T) {
	for s, want := range map[string]string{
		"https://me:secret@example.org/x":                      "https://xxxxx@example.org/x",
		"https://secret@example.org/x":                         "https://xxxxx@example.org/x",
		"https://example.org/x":                                "https://example.org/x",
		"https://secret@exa mple.org:x/":                       "an address that is not a URL",
		"https://example.org/?a=1&access_token=secret&b=%20":   "https://example.org/?a=1&access_token=xxxxx&b=%20",
		"https://example.org/?X-Amz-Signature=secret":          "https://example.org/?X-Amz-Signature=xxxxx",
		"https://example.org/?sv=1;sig=secret":                 "https://example.org/?sv=1;sig=xxxxx",
		"https://example.org/?private%5Ftoken=secret":          "https://example.org/?private%5Ftoken=xxxxx",
		"https://example.org/?to%6Ben=secret":                  "https://example.org/?to%6Ben=xxxxx",
		"https://example.org/?key=secret&auth=secret&pwd":      "https://example.org/?key=xxxxx&auth=xxxxx&xxxxx",
		"https://example.org/?page_access_token=secret":        "https://example.org/?page_access_token=xxxxx",
		"https://example.org/?continuation_password=secret":    "https://example.org/?continuation_password=xxxxx",
		"https://example.org/?passphrase=secret&bearer=secret": "https://example.org/?passphrase=xxxxx&bearer=xxxxx",
		"https://example.org/?JSESSIONID=secret&sign=secret":   "https://example.org/?JSESSIONID=xxxxx&sign=xxxxx",
		"https://example.org/?hmac=secret&otp=secret&sid=s":    "https://example.org/?hmac=xxxxx&otp=xxxxx&sid=xxxxx",
		"https://example.org/?page_token=a&pageToken=b":        "https://example.org/?page_token=a&pageToken=b",
		"https://example.org/#access_token=secret":             "https://example.org/#access_token=xxxxx",
		"https://example.org/?token=":                          "https://example.org/?token=",
		"https://example.org/x?AWSAccessKeyId=secret&Policy=p": "https://example.org/x?AWSAccessKeyId=xxxxx&Policy=p",
	} {
		if got := httpx.Redacted(s); got != want || strings.Contains(got, "secret") {
			t.Errorf("%q became %q", s, got)
		}
		if again := httpx.Redacted(want); !strings.Contains(want, " ") && again != want {
			t.Errorf("%q became %q", want, again)
		}
	}
}

func TestRedactedText(t *testing.T) {
	for s, want := range map[string]string{
		"see https://10.0.0.1:8443#sha256:5b2c… and \"https://h/x?q=ü\"": "see https://10.0.0.1:8443#sha256:5b2c… and \"https://h/x?q=ü\"",
		`Get "https://me:secret@h/x": no`:                                `Get "https://xxxxx@h/x": no`,
		"deb https://secret@h/debian?token=secret sid main":              "deb https://xxxxx@h/debian?token=xxxxx sid main",
		"https://secret:%zz@h/x":                                         "https://h/x",
		"no https://u:sec/ret@h/x y":                                     "no https://h/x y",
		"https://h/%?token=secret&a=1":                                   "https://h/%?token=xxxxx&a=1",
		"https://h:80/@a/%zz":                                            "https://h:80/@a/%zz",
		`403: "you sent Basic YW5uOnNlY3JldA=="`:                         `403: "you sent Basic xxxxx"`,
		"you sent authorization: basic dXNlcjpwYXNz, which is wrong":     "you sent authorization: basic xxxxx, which is wrong",
		"Bearer eyJhbGciOi.J9-x_y at https://me@h/x":                     "Bearer xxxxx at https://xxxxx@h/x",
		"Basic authentication, a bearer token: basic words stay":         "Basic authentication, a bearer token: basic words stay",
	} {
		if got := httpx.WithoutLogins(httpx.RedactedText(s)); got != want {
			t.Errorf("%q became %q", s, got)
		}
	}
}

// Of an internal error the log has all but a stranger's long path, and the
// client nothing: no hint either.
func TestAnInternalErrorStaysHere(t *testing.T) {
	var log strings.Builder
	e := httpx.Errors{Log: slog.New(slog.NewTextHandler(&log, nil))}
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/"+strings.Repeat("a", 1000), nil)
	e.Write(w, r, errs.Hint(errors.New("disk"), "look below /secret"))
	if w.Body.String() != "overland: something went wrong on the site; its log says what\n" {
		t.Errorf("told %q", w.Body)
	}
	if got := strings.Count(log.String(), "a"); !strings.Contains(log.String(), "error=disk") || got > 110 {
		t.Errorf("logged %q", log.String())
	}
}

// An answer to HEAD has the head of the one to GET and no body. No browser
// takes the text for something else.
func TestErrorsOfHead(t *testing.T) {
	w := httptest.NewRecorder()
	httpx.Errors{}.Write(w, httptest.NewRequest(http.MethodHead, "/x", nil), errors.New("no"))
	if h := w.Header(); w.Body.Len() != 0 || h.Get("Content-Length") != "13" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("body %q, header %v", w.Body, h)
	}
}

func TestKindOf(t *testing.T) {
	for status, want := range map[int]errs.Kind{
		404: errs.NotFound, 410: errs.NotFound, 401: errs.Denied, 403: errs.Denied, 400: errs.Unavailable, 302: errs.Unavailable, 500: errs.Unavailable,
	} {
		if got := httpx.KindOf(status); got != want {
			t.Errorf("%d: %v", status, got)
		}
	}
}
