package command

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"overland/internal/confine"
	"overland/internal/confine/cell"
	"overland/internal/lockfile"
	"overland/internal/progress"
	"overland/internal/source"
)

// Task is a command of a repository and what it runs with: Build makes one of an artifact, and a
// pipeline of a step.
type Task struct {
	Name    string // of its session's caches: two tasks of one name do not run at the same time
	Run     []string
	Src     string                 // the checkout that it gets a copy of
	Sees    func(path string) bool // which files of Src are in the copy, slash-separated; nil = all
	Left    []source.Left          // what Src lacks: an error when it would be in the copy
	Time    time.Time              // of every file in the copy
	Scratch string                 // a folder of its own; what is in it is shown to the command, which may change it
	Cache   string                 // for a Go compiler; made if missing, and kept
	Environ []string               // beside what every command has
	Limits  confine.Limits         // 0 = the machine's
	Lock    func(context.Context) (*lockfile.Lock, error)
	Log     io.Writer // gets all that it prints; nil = nobody does

	Verb string                           // how it is run again, for a hint: "overland build"
	More func(*confine.LimitError) string // says how it gets more of what it had too little of
}

// Do runs t where its inputs and nothing else can be reached, and returns the folder in which it ran,
// with what it left there, even when it failed. All that it started has ended. The errors are those of Build.
func (b *Builder) Do(ctx context.Context, t Task) (dir string, err error) {
	w, err := b.do(ctx, t)
	return w.src, err
}

func (b *Builder) do(ctx context.Context, t Task) (place, error) {
	for _, l := range t.Left {
		if l.Kind != source.OutsideLink && (t.Sees == nil || t.Sees(l.Path)) { // nothing says what of it the command reads
			return place{}, l.Err()
		}
	}
	w, err := newPlace(t)
	if err != nil {
		return w, err
	}
	const private = 0o700
	if err := os.MkdirAll(w.cache, private); err != nil {
		return w, err
	}
	run := b.nested
	switch {
	case b.kind == "":
		run = b.replay
	case b.held || b.o.Isolation == cell.None:
		run = b.inSession
	}
	t.Limits = cell.Limits(t.Limits, w.scratch)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	said := &tail{most: b.o.MaxLog, over: func() { cancel(&confine.LimitError{What: "output", Limit: progress.Bytes(b.o.MaxLog)}) }}
	out := io.Writer(said)
	if t.Log != nil {
		out = io.MultiWriter(said, t.Log)
	}
	if err := run(ctx, t, w, out); err != nil {
		return w, t.explain(cmp.Or(limit(ctx), err), said)
	}
	w.said = said
	return w, nil
}

// failed reports what a person needs to know about a command that ended well and still did not do
// what it is for.
func (t Task) failed(err error, w place) error { return t.explain(err, w.said) }

// limit returns the limit that ended a command, or nil.
func limit(ctx context.Context) error {
	var most *confine.LimitError
	if errors.As(context.Cause(ctx), &most) {
		return most
	}
	return nil
}

func (t Task) what() string { return strings.Join(t.Run, " ") }
