package confine

import (
	"errors"
	"syscall"
	"testing"
)

// What the keeper says reaches a person once, and still compares as the system's error.
func TestTheKeepersErrorIsSaidOnce(t *testing.T) {
	for text, want := range map[string]string{
		"invalid argument":                 "this machine does not give a root: invalid argument",
		"mount /proc: invalid argument":    "this machine does not give a root: mount /proc: invalid argument",
		"mount /proc: that cannot be done": "this machine does not give a root: mount /proc: that cannot be done: invalid argument",
	} {
		err := answer{Error: text, Errno: int(syscall.EINVAL), Unable: "a root"}.err()
		if err.Error() != want || !errors.Is(err, syscall.EINVAL) {
			t.Errorf("got %q, want %q, which is EINVAL", err, want)
		}
	}
}
