package printer_test

import (
	"errors"
	"fmt"
	"testing"

	"overland/internal/printer"
)

// What a person reads of several errors is one line, and says nothing twice.
func TestErrorsAreOneSentence(t *testing.T) {
	zero, null := errors.New("devices /dev: zero: no such device"), errors.New("devices /dev: null: not permitted")
	for want, err := range map[string]error{
		"plain": errors.New("plain"),
		"devices /dev: zero: no such device; null: not permitted":                    errors.Join(zero, null),
		"cell: devices /dev: zero: no such device; null: not permitted (in a build)": fmt.Errorf("cell: %w (in a build)", errors.Join(zero, null)),
		"devices /dev: zero: no such device":                                         errors.Join(zero, nil, errors.New(zero.Error())),
		"a: b; c: d":                                                                 errors.Join(errors.New("a: b"), errors.New("c: d")),
		"a: b; c; x":                                                                 errors.Join(errors.New("a: b"), errors.Join(errors.New("a: c"), errors.New("x"))),
		"two: a; b and c; d":                                                         fmt.Errorf("two: %w and %w", errors.Join(errors.New("a"), errors.New("b")), errors.Join(errors.New("c"), errors.New("d"))),
		"channel live: no key":                                                       fmt.Errorf("channel live: %w", fmt.Errorf("channel live: %w", errors.New("no key"))),
		"channel live: channel staging: late":                                        fmt.Errorf("channel live: %w", errors.New("channel staging: late")),
		"go build: line one\nline two":                                               fmt.Errorf("go build: %w", errors.New("line one\nline two")),
		"hidden":                                                                     hiding{errors.New("cause")},
		"ends: devices /dev: null: not permitted: why":                               fmt.Errorf("ends: %w: why", null),
	} {
		if got := printer.Error(err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := printer.Sprintf("%v · %s", errors.Join(zero, null), errors.New("a\nb")); got != `devices /dev: zero: no such device; null: not permitted · a\nb` {
		t.Errorf("printed %q", got)
	}
}

type hiding struct{ error }

func (hiding) Error() string   { return "hidden" }
func (h hiding) Unwrap() error { return h.error }
