package record

import (
	"testing"

	"overland/internal/cli/verb/verbtest"
)

func TestOptions(t *testing.T) {
	command := []string{"go", "build", "--json"} // flags after the command are the command's
	for _, c := range []verbtest.Case[sessionOptions]{
		{Args: command, Want: sessionOptions{command: command, lock: "overland.lock"}},
		{Args: append([]string{"--"}, command...), Want: sessionOptions{command: command, lock: "overland.lock"}},
		{
			Args: append([]string{"--lock", "x.lock", "--pins", "p", "--machine-caches", "--json", "--"}, command...),
			Want: sessionOptions{command: command, lock: "x.lock", pins: "p", machineCaches: true, json: true},
		},
	} {
		verbtest.Options(t, recordVerb, c)
		verbtest.Options(t, replayVerb, c)
	}
	moved := verbtest.Case[sessionOptions]{Args: command, Want: sessionOptions{command: command, lock: "overland.lock"}}
	verbtest.Options(t, lockUpdate, moved, verbtest.Case[sessionOptions]{Args: []string{"--failed"}, Want: sessionOptions{command: []string{}, lock: "overland.lock", failed: true}})
	verbtest.Options(t, lockPrune, moved)
	verbtest.Options(t, lockVerify, verbtest.Case[sessionOptions]{Args: []string{"--json"}, Want: sessionOptions{lock: "overland.lock", json: true}})
	verbtest.Options(t, lockDiff,
		verbtest.Case[diffOptions]{Args: []string{"old"}, Want: diffOptions{before: "old", after: "overland.lock"}},
		verbtest.Case[diffOptions]{Args: []string{"old", "new", "--json"}, Want: diffOptions{before: "old", after: "new", json: true}},
	)
}
