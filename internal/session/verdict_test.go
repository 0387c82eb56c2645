package session_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/record"
	"overland/internal/session"
)

func TestVerdicts(t *testing.T) {
	exit, cut := &session.ExitError{Command: "go", Code: 3}, errors.New("cut off")
	untrusted, conflict := errs.Errorf(errs.Untrusted, "bad sum"), errs.Errorf(errs.Conflict, "changed")
	gone, miss := errs.Errorf(errs.Unavailable, "no blob"), error(&record.MissError{Protocol: "go", Key: "x"})
	damaged := errs.E(errs.Untrusted, fmt.Errorf("blob: %w", digest.ErrMismatch))
	of := func(problems ...error) *session.Result { return &session.Result{Problems: problems} }
	h := session.Holder{Name: "this depot", Missing: "record it", Damaged: "fetch it"}
	for name, test := range map[string]struct {
		got  error
		kind errs.Kind // with want
		want string    // in the error or its hint; "" = no error
		same error     // the error must be this one
	}{
		"recorded":                     {got: of().RecordErr(nil)},
		"recorded, command failed":     {got: of(gone).RecordErr(exit), same: exit},
		"recorded, some not found":     {got: of(gone, miss).RecordErr(nil)},
		"recorded, bad proof":          {got: of(gone, untrusted).RecordErr(nil), kind: errs.Untrusted, want: "2 requests failed"},
		"recorded, bad proof and code": {got: of(conflict).RecordErr(exit), kind: errs.Conflict, want: "1 request failed"},
		"recorded, bad proof and cut":  {got: of(untrusted).RecordErr(cut), same: cut},
		"not begun":                    {got: (*session.Result)(nil).RecordErr(cut), same: cut},
		"replayed":                     {got: of().ReplayErr(exit, h), same: exit},
		"replayed, a miss":             {got: of(miss).ReplayErr(exit, h), kind: errs.Unavailable, want: "1 request was never recorded"},
		"replayed, misses":             {got: of(miss, miss).ReplayErr(nil, h), kind: errs.Unavailable, want: "record it"},
		"replayed, a blob lost":        {got: of(miss, gone).ReplayErr(nil, h), kind: errs.Unavailable, want: "2 requests have no answer in this depot"},
		"replayed, a blob damaged":     {got: of(gone, untrusted).ReplayErr(nil, h), kind: errs.Untrusted, want: "fetch it"},
		"replay not begun":             {got: (*session.Result)(nil).ReplayErr(cut, h), same: cut},
		"lock holds":                   {got: session.LockErr("overland.lock", 3, nil)},
		"lock, a blob lost":            {got: session.LockErr("overland.lock", 3, []error{gone}), kind: errs.Unavailable, want: "1 of 3 entries"},
		"lock, a blob damaged":         {got: session.LockErr("overland.lock", 1, []error{damaged}), kind: errs.Untrusted, want: "overland record --"},
		"lock, a line changed by hand": {got: session.LockErr("x.lock", 2, []error{untrusted, gone}), kind: errs.Untrusted, want: "git log -p x.lock"},
	} {
		text := fmt.Sprint(test.got, " ", errs.HintOf(test.got))
		switch {
		case test.same != nil && !errors.Is(test.got, test.same), test.same == nil && test.want == "" && test.got != nil:
			t.Errorf("%s: error %v", name, test.got)
		case test.want != "" && (errs.KindOf(test.got) != test.kind || !strings.Contains(text, test.want)):
			t.Errorf("%s: %s %q, want %s with %q", name, errs.KindOf(test.got), text, test.kind, test.want)
		}
	}
}
