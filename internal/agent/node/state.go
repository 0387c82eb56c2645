package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
)

// Schema is the version of the state and generation documents that this package writes.
const Schema = 1

const (
	stateMagic = "overland-node-state"
	stateLimit = 1 << 20  // bytes of one copy that are read at most
	stateSlot  = 64 << 10 // bytes that a copy occupies from the start, so that a full disk cannot stop a rollback
	eventLimit = 50       // events kept
	logsLimit  = 3        // events that keep their log lines
	textLimit  = 500      // bytes of a reason
	lineLimit  = 200      // bytes of a log line
	linesLimit = 20       // log lines of an event
	badLimit   = 10       // refused contents remembered
	tasksLimit = 8        // releases for which a task is known to be done
	taskDigits = 16       // of such a release's digest
)

// State is what the node remembers. Times of day in it are for people only: no decision reads them.
type State struct {
	Schema   int                 `json:"schema"`
	Current  int                 `json:"current"`            // the generation to run when there is no intent; 0 = none
	Good     int                 `json:"good"`               // the last generation that proved itself; 0 = none
	Before   int                 `json:"before,omitempty"`   // the good one before that; kept for a rollback
	Next     int                 `json:"next"`               // the number of the next generation; never used twice
	GoodBoot string              `json:"goodBoot,omitempty"` // the boot in which Good was marked good
	GoodAt   time.Duration       `json:"goodAt,omitempty"`   // ns from that boot to then
	Intent   *Intent             `json:"intent,omitempty"`   // a switch that is not decided yet
	Bad      []Bad               `json:"bad,omitempty"`      // oldest first
	Events   []nodeapi.Event     `json:"events,omitempty"`   // oldest first
	Settings Settings            `json:"settings"`
	Config   digest.Digest       `json:"config,omitempty"`   // of config.json as the node last wrote or read it
	Agent    digest.Digest       `json:"agent,omitempty"`    // the release of the agent itself that was last dealt with
	Programs []Candidate         `json:"programs,omitempty"` // agent programs that are not tried again
	Tasks    map[string][]string `json:"tasks,omitempty"`    // app.service → beginnings of the digests of the releases for which the task was done, oldest first
	Users    map[string]int      `json:"users,omitempty"`    // application → the uid that its services have; never given to another
}

// Settings is what the node was told to follow. It is remembered here and
// written to config.json for people.
type Settings struct {
	Channel string   `json:"channel,omitempty"`
	Root    string   `json:"root,omitempty"`  // fingerprint of the pinned root
	Sites   []string `json:"sites,omitempty"` // URLs, in order of preference
	Watch   []string `json:"watch,omitempty"` // directories (patterns) where volume files may appear
}

// Candidate is an agent program that the node tried to become and refused.
type Candidate struct {
	Digest digest.Digest `json:"digest"`
	Reason string        `json:"reason"`
}

// Intent is a switch in progress.
type Intent struct {
	Generation int           `json:"generation"`
	From       int           `json:"from"`               // where a failure leads back to; 0 = nothing ran before
	Tries      int           `json:"tries"`              // attempts left
	Limit      time.Duration `json:"limit"`              // ns that the attempts of one boot may take together; 0 = no limit
	Boot       string        `json:"boot,omitempty"`     // the boot in which Since was taken
	Since      time.Duration `json:"since,omitempty"`    // ns from that boot to the first attempt in it
	Deadline   time.Time     `json:"deadline,omitzero"`  // the same by the clock on the wall, for people
	By         string        `json:"by"`                 // "install" or "rollback"
	Why        string        `json:"why,omitempty"`      // of a rollback that nobody asked for
	Failed     string        `json:"failed,omitempty"`   // why it failed; the only way left is back
	Damaged    bool          `json:"damaged,omitempty"`  // failed because its files are damaged here: not refused
	Forgiven   bool          `json:"forgiven,omitempty"` // something newer came: not refused
	Followed   *Settings     `json:"followed,omitempty"` // what was followed before a change of channel, and is again after a failure
	Check      string        `json:"check,omitempty"`    // the failing self-test
	Log        []string      `json:"log,omitempty"`      // the service's last lines
}

// Bad is the content of a generation that is not tried again until something new is named.
type Bad struct {
	Generation int           `json:"generation"`
	Content    digest.Digest `json:"content"`
	Reason     string        `json:"reason"`
	At         time.Time     `json:"at,omitzero"`
}

// clone returns a copy of s that shares nothing that is changed in place.
func (s State) clone() State {
	if s.Intent != nil {
		i := *s.Intent
		s.Intent = &i
	}
	s.Bad, s.Events, s.Programs = slices.Clone(s.Bad), slices.Clone(s.Events), slices.Clone(s.Programs)
	s.Users, s.Tasks = maps.Clone(s.Users), maps.Clone(s.Tasks)
	s.Settings.Sites, s.Settings.Watch = slices.Clone(s.Settings.Sites), slices.Clone(s.Settings.Watch)
	return s
}

// add appends e, cut to the limits, and drops what is too old.
func (s *State) add(e nodeapi.Event) {
	e.Reason, e.Log = clip(e.Reason, textLimit), clipLines(e.Log)
	s.Events = append(s.Events, e)
	if n := len(s.Events) - eventLimit; n > 0 {
		s.Events = slices.Delete(s.Events, 0, n)
	}
	logs := 0
	for i := len(s.Events) - 1; i >= 0; i-- {
		if len(s.Events[i].Log) > 0 {
			if logs++; logs > logsLimit {
				s.Events[i].Log = nil
			}
		}
	}
}

// refuse remembers b, in place of an older entry for the same content.
func (s *State) refuse(b Bad) {
	b.Reason = clip(b.Reason, textLimit)
	s.Bad = slices.DeleteFunc(s.Bad, func(o Bad) bool { return o.Content == b.Content })
	s.Bad = append(s.Bad, b)
	if n := len(s.Bad) - badLimit; n > 0 {
		s.Bad = slices.Delete(s.Bad, 0, n)
	}
}

// Refused returns why content is not tried again, if it is not.
func (s *State) Refused(content digest.Digest) (Bad, bool) {
	for _, b := range s.Bad {
		if b.Content == content {
			return b, true
		}
	}
	return Bad{}, false
}

// Did reports whether the task app.service was done for release.
func (s *State) Did(task string, release digest.Digest) bool {
	return slices.Contains(s.Tasks[task], release.Encoded()[:taskDigits])
}

// DidTask remembers, durably, that the task app.service was done for release, with the event e.
func (n *Node) DidTask(task string, release digest.Digest, e nodeapi.Event) error {
	e.At = n.now()
	return n.Update(func(s *State) {
		if s.Tasks == nil {
			s.Tasks = map[string][]string{}
		}
		list := append(slices.Clone(s.Tasks[task]), release.Encoded()[:taskDigits])
		s.Tasks[task] = list[max(0, len(list)-tasksLimit):]
		s.add(e)
	})
}

// encodeState returns one copy: a line "overland-node-state 1 SEQ LENGTH SHA256", then LENGTH bytes
// of JSON. The sum covers SEQ and the JSON.
func encodeState(seq uint64, s State) ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode node state: %w", err)
	}
	if len(body) > stateLimit/2 {
		return nil, fmt.Errorf("encode node state: %d bytes is more than %d", len(body), stateLimit/2)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %d %d %d %s\n", stateMagic, Schema, seq, len(body), stateSum(seq, body))
	b.Write(body)
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func stateSum(seq uint64, body []byte) string {
	h := digest.New()
	fmt.Fprintf(h, "%d\n", seq)
	h.Write(body)
	return h.Digest().Encoded()
}

// decodeState reads one copy. Bytes after the JSON are padding and ignored.
func decodeState(r io.Reader) (uint64, State, error) {
	bad := func(why string) (uint64, State, error) { return 0, State{}, fmt.Errorf("node state: %s", why) }
	b, err := fsx.Read(r, "copy", stateLimit)
	if err != nil {
		return bad(err.Error())
	}
	line, rest, ok := bytes.Cut(b[:min(len(b), 200)], []byte("\n"))
	_ = rest
	f := bytes.Fields(line)
	if !ok || len(f) != 5 || string(f[0]) != stateMagic {
		return bad("not a state file")
	}
	if string(f[1]) != strconv.Itoa(Schema) {
		return bad("version " + strconv.Quote(string(f[1])) + " is not known to this agent")
	}
	seq, err := strconv.ParseUint(string(f[2]), 10, 64)
	if err != nil {
		return bad("bad sequence number")
	}
	n, err := strconv.ParseUint(string(f[3]), 10, 31)
	if body := b[len(line)+1:]; err != nil || n > uint64(len(body)) {
		return bad("truncated")
	}
	body := b[len(line)+1:][:n]
	if stateSum(seq, body) != string(f[4]) {
		return bad("checksum does not match")
	}
	var s State
	if err := json.Unmarshal(body, &s); err != nil {
		return bad(err.Error())
	}
	if err := s.check(); err != nil {
		return bad(err.Error())
	}
	return seq, s, nil
}

// check refuses a state that no agent writes, so that the rest of the package need not.
func (s *State) check() error {
	if s.Schema != Schema {
		return fmt.Errorf("schema %d is not known to this agent", s.Schema)
	}
	if s.Current < 0 || s.Good < 0 || s.Before < 0 || s.Next < 0 || max(s.Current, s.Good, s.Before) >= max(s.Next, 1) {
		return fmt.Errorf("generation numbers %d, %d, %d beyond %d", s.Current, s.Good, s.Before, s.Next)
	}
	if i := s.Intent; i != nil && (i.Generation <= 0 || i.Generation >= s.Next || i.From < 0 || i.From >= s.Next || i.Tries < 0 || i.Limit < 0) {
		return fmt.Errorf("intent for generation %d of %d", i.Generation, s.Next)
	}
	return nil
}

func clip(s string, limit int) string {
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}

func clipLines(lines []string) []string {
	if n := len(lines) - linesLimit; n > 0 {
		lines = lines[n:]
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = clip(l, lineLimit)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
