package appfile

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Duration is a time.Duration written as text: "10s", "5m".
type Duration time.Duration

// The longest durations of a service: one application must not hold up a node, which does one thing
// at a time. A build refuses more, and so does a node.
const (
	MaxWithin   = time.Hour        // within, of a task too, and readiness
	MaxStable   = time.Hour        // stable
	MaxStop     = 10 * time.Minute // stop
	MaxBackoff  = 24 * time.Hour   // the longest wait of restart.backoff
	MaxEvery    = 24 * time.Hour   // every of a self-test
	MinEvery    = time.Second      //
	MaxFailures = 100              // failures of a self-test
	MaxChecks   = 64               // self-tests of one service
	MaxFiles    = 32               // files of one service
	MaxFile     = 16 << 20         // bytes of one of them
)

// DefaultTask is how long a task may take that does not say it.
const DefaultTask = 10 * time.Minute

// MarshalJSON writes d as text.
func (d Duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(d).String())
}

// UnmarshalJSON reads text like "10s".
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("duration: %w", err)
	}
	v, err := ParseDuration(s)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// ParseDuration returns s as a Duration: not negative, not over a year.
func ParseDuration(s string) (Duration, error) {
	v, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("duration %q: write it like 10s, 5m or 1h", s)
	}
	if v < 0 || v > 365*24*time.Hour {
		return 0, fmt.Errorf("duration %q: must be between 0 and a year", s)
	}
	return Duration(v), nil
}

// Short returns d without the zeros of its own text: 5m, not 5m0s.
func Short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Or returns d, or other when d is zero.
func (d Duration) Or(other time.Duration) time.Duration {
	if d == 0 {
		return other
	}
	return time.Duration(d)
}
