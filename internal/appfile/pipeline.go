package appfile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of what one file may ask for: a few lines of a matrix are a million steps.
const (
	MaxPipelines = 64
	MaxSteps     = 500            // of one pipeline, as they are written
	MaxMatrix    = 256            // variants of one step
	MaxVariants  = 5000           // of one pipeline's steps, all together
	MaxRetry     = 5              //
	MaxTimeout   = 48 * time.Hour // of a step
	MaxSchedules = 16
)

// Pipeline is what is run of a commit: steps, by name.
type Pipeline struct {
	On    On
	Steps map[string]Step
}

// On is when a site runs a pipeline. The zero value is every branch, tag and pull request.
type On struct {
	Branches []string   // names, in which * stands for anything
	Tags     []string   // the same
	Schedule []Schedule // of the default branch
}

// Step is a command that is run in a copy of the commit, and what it is called by.
type Step struct {
	Run     []string            // a program and its arguments
	Needs   []string            // artifacts and steps whose results it gets
	Paths   []string            // files and folders of the commit that it sees; empty = all
	Matrix  map[string][]string // it is run with each of these values
	Timeout Duration            // of one try; 0 = the machine's default
	Retry   int                 // how often it is tried again
	Report  string              // the file in which it says what its tests did
	Keep    []string            // files and folders that stay
	Secrets []string            // names; whether it may have them is the site's affair
}

// Variant is one value for each key of a matrix: "locale" → "de".
type Variant map[string]string

// String returns the values in the order of their keys: "de,1.22"; "" when there are none.
func (v Variant) String() string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(v)) {
		list = append(list, v[k])
	}
	return strings.Join(list, ",")
}

// Variants returns what a step with this matrix is run with: one empty Variant when there is none.
// More than MaxMatrix is an error.
func (s *Step) Variants() ([]Variant, error) {
	list := []Variant{{}}
	for _, k := range slices.Sorted(maps.Keys(s.Matrix)) {
		if len(list)*len(s.Matrix[k]) > MaxMatrix {
			return nil, fmt.Errorf("a matrix of more than %d variants", MaxMatrix)
		}
		var more []Variant
		for _, v := range list {
			for _, value := range s.Matrix[k] {
				next := maps.Clone(v)
				next[k] = value
				more = append(more, next)
			}
		}
		list = more
	}
	return list, nil
}

// Schedule is a time of the week, in a time zone.
type Schedule struct {
	Days         [7]bool // Days[time.Monday]; none = every day
	Hour, Minute int
	Zone         string // of the IANA database; "" = UTC
}

var days = [7]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// ParseSchedule reads "Mon 06:00 Europe/Paris", "Mon,Thu 06:00", "Mon-Fri 23:30 UTC" and "daily 04:15".
// Whether the zone exists is the caller's to ask.
func ParseSchedule(s string) (Schedule, error) {
	var out Schedule
	f := strings.Split(s, " ")
	const withZone = 3
	if len(f) != withZone && len(f) != withZone-1 {
		return out, fmt.Errorf("schedule %.60q: not days, a time and a zone", s)
	}
	if f[0] != "daily" {
		for part := range strings.SplitSeq(f[0], ",") {
			from, to, span := strings.Cut(part, "-")
			first, last := slices.Index(days[:], from), slices.Index(days[:], cmp.Or(to, from))
			if first < 0 || last < 0 || span && to == "" {
				return out, fmt.Errorf("schedule %.60q: %q is not a day like Mon, nor days like Mon-Fri", s, part)
			}
			for d := first; ; d = (d + 1) % len(days) {
				if out.Days[d] {
					return out, fmt.Errorf("schedule %.60q: %s is here twice", s, days[d])
				}
				if out.Days[d] = true; d == last {
					break
				}
			}
		}
	}
	hour, minute, _ := strings.Cut(f[1], ":")
	var err1, err2 error
	out.Hour, err1 = clockPart(hour, 24)
	out.Minute, err2 = clockPart(minute, 60)
	if err1 != nil || err2 != nil {
		return out, fmt.Errorf("schedule %.60q: %q is not a time like 06:00", s, f[1])
	}
	if len(f) == withZone {
		out.Zone = f[2]
		if out.Zone == "" || out.Zone == "Local" { // the machine's own is another one elsewhere
			return out, fmt.Errorf("schedule %.60q: %q is not a time zone", s, f[2])
		}
	}
	if out.Zone == "UTC" {
		out.Zone = ""
	}
	return out, nil
}

// clockPart reads two digits below limit.
func clockPart(s string, limit int) (int, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || len(s) != 2 || int(n) >= limit {
		return 0, fmt.Errorf("%q is not two digits below %d", s, limit)
	}
	return int(n), nil
}

// String returns s as ParseSchedule reads it.
func (s Schedule) String() string {
	var on []string
	for i, name := range days {
		if s.Days[i] {
			on = append(on, name)
		}
	}
	what := cmp.Or(strings.Join(on, ","), "daily")
	return fmt.Sprintf("%s %02d:%02d %s", what, s.Hour, s.Minute, cmp.Or(s.Zone, "UTC"))
}
