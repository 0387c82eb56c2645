package record

import (
	"errors"

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
	Failed    []failedJSON `json:"failed"`   // what origins refused or failed to give, and is locked so
	Written   bool         `json:"written"`  // false: the lock was not changed
	New       int          `json:"new"`
	Changed   int          `json:"changed"`
	Unchanged int          `json:"unchanged"`
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
	out := recordedJSON{sessionJSON: newSession(s, res, ended), Unproved: []string{}, Failed: failedOf(res.Lock), Written: written}
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
