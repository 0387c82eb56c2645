package record

import (
	"errors"

	"overland/internal/confine/border"
	"overland/internal/httpx"
	"overland/internal/lockfile"
	"overland/internal/nodeapi"
	"overland/internal/record"
	"overland/internal/release/inspect"
	"overland/internal/session"
)

// sessionJSON is what the results of record --json and replay --json have in common.
type sessionJSON struct {
	Lock      string             `json:"lock"`     // the file's absolute path
	ExitCode  *int               `json:"exitCode"` // the command's; null: it was stopped
	Entries   int                `json:"entries"`
	Bytes     int64              `json:"bytes"`
	Protocols []nodeapi.Protocol `json:"protocols"` // sorted by name
	Problems  []string           `json:"problems"`  // what could not be answered, one for each request
	Warnings  []string           `json:"warnings"`  // everything that was warned of, problems too
}

// recordedJSON is the result of record --json. Entries and bytes are those of the whole lock.
type recordedJSON struct {
	sessionJSON
	Unproved  []string     `json:"unproved"` // what has no proof of its ecosystem, and why
	Isolated  bool         `json:"isolated"` // nothing could go past the recorder unnamed
	Past      []pastJSON   `json:"past"`     // what it tried past the recorder, without success; only if isolated
	Local     []pastJSON   `json:"local"`    // the services of this machine that it used; only if isolated
	Failed    []failedJSON `json:"failed"`   // what origins refused or failed to give, and is locked so
	Lacking   []string     `json:"lacking"`  // modules that go.mod requires and this command did not fetch
	Written   bool         `json:"written"`  // false: the lock was not changed
	New       int          `json:"new"`
	Changed   int          `json:"changed"`
	Unchanged int          `json:"unchanged"`
}

// pastJSON is a try to go past the recorder.
type pastJSON struct {
	Protocol string `json:"protocol"`       // tcp, udp, …
	To       string `json:"to"`             // ADDRESS:PORT, or ADDRESS of a protocol that has no ports
	Name     string `json:"name,omitempty"` // of a question to a name server: what it asked for
	Process  string `json:"process"`        // its name; "" = it had ended
}

func newPast(list []border.Attempt) []pastJSON {
	out := []pastJSON{}
	for _, a := range list {
		out = append(out, pastJSON{a.Protocol, a.Address(), a.Name, a.Process})
	}
	return out
}

// replayedJSON is the result of replay --json. Entries and bytes are those that were asked for.
type replayedJSON struct {
	sessionJSON
	Misses []missJSON `json:"misses"` // the problems that are requests which were never recorded
}

type missJSON struct {
	Protocol string `json:"protocol"`
	Key      string `json:"key"`
}

func newSession(s *session.Options, res *session.Result, ended error) sessionJSON {
	out := sessionJSON{
		Lock: s.LockFile, Entries: len(res.Lock.Entries), Bytes: bytesOf(res.Lock),
		Protocols: append([]nodeapi.Protocol{}, inspect.ByProtocol(res.Lock)...),
	}
	exit := (*session.ExitError)(nil)
	switch {
	case ended == nil:
		out.ExitCode = new(int)
	case errors.As(ended, &exit):
		out.ExitCode = &exit.Code
	}
	out.Problems = warnings(res)
	out.Warnings = out.Problems
	return out
}

func newRecorded(s *session.Options, res *session.Result, ended error, written bool) recordedJSON {
	out := recordedJSON{sessionJSON: newSession(s, res, ended), Unproved: []string{}, Isolated: res.Isolated, Past: newPast(res.Past), Local: newPast(res.Local), Failed: failedOf(res.Lock), Lacking: append([]string{}, res.Lacking...), Written: written}
	out.Warnings = recordWarnings(res, ended)
	for _, err := range res.Unproved {
		out.Unproved = append(out.Unproved, httpx.RedactedText(err.Error()))
	}
	for _, c := range lockfile.Diff(s.Lock, res.Lock) {
		if c.Old == nil {
			out.New++
		} else {
			out.Changed++
		}
	}
	out.Unchanged = out.Entries - out.New - out.Changed
	return out
}

func newReplayed(s *session.Options, res *session.Result, ended error) replayedJSON {
	out := replayedJSON{sessionJSON: newSession(s, res, ended), Misses: []missJSON{}}
	for _, p := range res.Problems {
		if miss := (*record.MissError)(nil); errors.As(p, &miss) {
			out.Misses = append(out.Misses, missJSON{miss.Protocol, miss.Key})
		}
	}
	return out
}
