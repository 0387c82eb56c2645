package key

import (
	"testing"

	"overland/internal/cli/term"
	"overland/internal/cli/verb/verbtest"
	"overland/internal/errs"
)

func TestOptions(t *testing.T) {
	for _, c := range []verbtest.Case[makeOptions]{
		{Args: []string{"alice"}, Want: makeOptions{name: "alice"}},
		{Args: []string{"alice", "--passphrase"}, Want: makeOptions{name: "alice", locked: true}},
	} {
		verbtest.Options(t, newVerb, c)
		verbtest.Options(t, rotate, c)
		verbtest.Options(t, relock, c)
	}
	verbtest.Options(t, newVerb, verbtest.Case[makeOptions]{Args: []string{"bob", "--root"}, Want: makeOptions{name: "bob", root: true}})
	verbtest.Options(t, list, verbtest.Case[listOptions]{Args: []string{"--json"}, Want: listOptions{json: true}})
}

func TestANewPassphrase(t *testing.T) {
	given := ""
	tm := &term.Term{Getenv: func(string) string { return given }}
	if b, err := passphrase(tm, makeOptions{name: "alice"}); b != nil || err != nil {
		t.Errorf("not insisted on: %q, %v", b, err)
	}
	if _, err := passphrase(tm, makeOptions{name: "alice", locked: true}); errs.KindOf(err) != errs.Denied {
		t.Errorf("nobody to ask: %v", err)
	}
	given = "secret"
	if b, err := passphrase(tm, makeOptions{name: "alice", locked: true}); string(b) != given || err != nil {
		t.Errorf("given: %q, %v", b, err)
	}
	tm.NoPassphrase = true
	if _, err := passphrase(tm, makeOptions{name: "alice", locked: true}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("both: %v", err)
	}
}
