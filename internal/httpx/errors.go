package httpx

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"overland/internal/errs"
)

// KindOf returns the kind of an answer's status that is not a success:
// NotFound, Denied or Unavailable.
func KindOf(status int) errs.Kind {
	switch status {
	case http.StatusNotFound, http.StatusGone:
		return errs.NotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return errs.Denied
	}
	return errs.Unavailable
}

// statusError is an error whose status is not that of its kind.
type statusError struct {
	err    error
	status int
}

func (e *statusError) Error() string   { return e.err.Error() }
func (e *statusError) Unwrap() error   { return e.err }
func (e *statusError) HTTPStatus() int { return e.status }

// WithStatus returns err with the status that Errors answers it with, in
// place of its kind's. nil stays nil.
func WithStatus(err error, status int) error {
	if err == nil {
		return nil
	}
	return &statusError{err, status}
}

// NotServed is the error of a method that is not served here; allow lists those that are.
func NotServed(w http.ResponseWriter, allow string) error {
	w.Header().Set("Allow", allow)
	return WithStatus(errs.Errorf(errs.Invalid, "this method is not served here"), http.StatusMethodNotAllowed)
}

// Status returns the HTTP status of err: what its HTTPStatus method says, else that
// of its kind (the table of errs).
func Status(err error) int {
	var e interface{ HTTPStatus() int }
	if errors.As(err, &e) {
		return e.HTTPStatus()
	}
	return errs.KindOf(err).Status()
}

// Problem is what a client is told of an error.
type Problem struct {
	Code    string `json:"code"` // of the kind: "notfound"
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Form renders a Problem for the clients of a protocol. prefers reports whether
// this client prefers a media type.
type Form func(p Problem, prefers func(mediaType string) bool) (mediaType string, body []byte)

// JSON is the Form of Overland's own clients: a Problem.
func JSON(p Problem, _ func(string) bool) (string, []byte) { return jsonType, encode(p) }

// Text is the Form for people and for the tools of other ecosystems, which print it: "overland:
// MESSAGE" and the hint on a line of its own. A client that asks for JSON, as npm does, gets
// {"error": "…"}: that is the member that it prints.
func Text(p Problem, prefers func(string) bool) (string, []byte) {
	text := "overland: " + p.Message
	if p.Hint != "" {
		text += "\n  hint: " + p.Hint
	}
	if prefers(jsonType) {
		return jsonType, encode(map[string]string{"error": text})
	}
	return textType, []byte(text + "\n")
}

// Line is the Form for a client that shows the first line of a body, as it is.
func Line(p Problem, _ func(string) bool) (string, []byte) {
	line, _, _ := strings.Cut(p.Message, "\n")
	return textType, []byte(line + "\n")
}

const (
	jsonType = "application/json"
	textType = "text/plain; charset=utf-8"
)

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings always marshal
	}
	return append(b, '\n')
}

// Errors answers requests with errors.
type Errors struct {
	Form Form // nil = Text
	// Log is where internal errors go: the client is told only that there was one. nil = the client
	// is told, which is right where it is the person's own machine.
	Log *slog.Logger
}

// Write answers r with err. A Retry-After, Allow or Www-Authenticate that is set already is kept.
func (e Errors) Write(w http.ResponseWriter, r *http.Request, err error) {
	status := Status(err)
	p := Problem{Code: errs.KindOf(err).String(), Message: RedactedText(err.Error()), Hint: RedactedText(errs.HintOf(err))}
	if status == http.StatusInternalServerError && e.Log != nil {
		const most = 100 // bytes of a stranger's path
		path := r.URL.EscapedPath()
		e.Log.Error("request failed", "path", path[:min(len(path), most)], "error", err)
		p.Message, p.Hint = "something went wrong on the site; its log says what", ""
	}
	form := e.Form
	if form == nil {
		form = Text
	}
	mediaType, body := form(p, func(t string) bool { return strings.Contains(r.Header.Get("Accept"), t) })
	h := w.Header()
	for _, name := range []string{"Etag", "Last-Modified", "Content-Encoding"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}
