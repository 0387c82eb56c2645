package errs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Kind is one of the closed set of error kinds. The zero value is Internal.
type Kind int

// The kinds, in the order of the table.
const (
	Internal    Kind = iota // our own bug, or a failing disk
	Invalid                 // the caller's input is wrong
	NotFound                // no such thing
	Denied                  // not allowed
	Conflict                // somebody else was first, or it exists with other content
	Untrusted               // a signature, digest, version or expiry does not hold: never retried, never a warning
	Unavailable             // may work later or from another source
	Partial                 // some of it was done
	Cancelled               // the caller stopped it
)

// table maps each kind to everything that the outside sees of it.
var table = [...]struct {
	code   string
	exit   int
	status int
}{
	Internal:    {"internal", 1, http.StatusInternalServerError},
	Invalid:     {"invalid", 2, http.StatusBadRequest},
	NotFound:    {"notfound", 1, http.StatusNotFound},
	Denied:      {"denied", 1, http.StatusForbidden},
	Conflict:    {"conflict", 1, http.StatusConflict},
	Untrusted:   {"untrusted", 4, http.StatusUnprocessableEntity},
	Unavailable: {"unavailable", 5, http.StatusServiceUnavailable},
	Partial:     {"partial", 3, http.StatusMultiStatus},
	Cancelled:   {"cancelled", 130, 499},
}

// ExitCodes is the help text for the exit codes.
const ExitCodes = "0 ok · 1 failed · 2 usage · 3 partial · 4 untrusted · 5 unreachable · 130 cancelled"

// String returns the JSON code of k.
func (k Kind) String() string { return table[k].code }

// Exit returns the exit code of k.
func (k Kind) Exit() int { return table[k].exit }

// Status returns the HTTP status of k.
func (k Kind) Status() int { return table[k].status }

// Error is an error of a known kind. Hint, when there is one, is the next command to run or the
// thing to mend.
type Error struct {
	Kind Kind
	Hint string
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// E returns err marked with kind; nil stays nil.
func E(kind Kind, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Err: err}
}

// Errorf returns an error of kind, formatted as fmt.Errorf does.
func Errorf(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// Hint returns err with a hint for the person; the kind stays what it was. nil stays nil.
func Hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOf(err), Hint: fmt.Sprintf(format, args...), Err: err}
}

// KindOf returns the kind of err: the outermost one that was set. A cancelled context is Cancelled;
// anything else without a kind is Internal.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.Canceled):
		return Cancelled
	}
	return Internal
}

// HintOf returns the outermost hint of err, or "".
func HintOf(err error) string {
	for e := (*Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Hint != "" {
			return e.Hint
		}
	}
	return ""
}

// Explain returns what a person sees of err: the message and, on a second line, the hint.
func Explain(err error) string {
	if hint := HintOf(err); hint != "" {
		return err.Error() + "\n  hint: " + hint
	}
	return err.Error()
}
