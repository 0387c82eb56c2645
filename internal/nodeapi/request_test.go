package nodeapi_test

import (
	"errors"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
)

func TestReadRequest(t *testing.T) {
	for _, good := range []string{
		`{"op":"status"}`,
		`{"op":"install","source":"/a.volume","install":{"channel":"live"}}`,
		`{"op":"logs","service":"wallet.node","lines":10000}`,
		`{"op":"rollback","generation":3,"progress":true}` + "\nwhat follows is not read",
	} {
		if _, err := nodeapi.ReadRequest(strings.NewReader(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		``, `{}`, `[]`, `{"op":"dance"}`, `{"op":"status"`,
		`{"op":"status","sudo":true}`, // what an older agent does not know it must not leave out
		`{"op":"install"}`,
		`{"op":"install","source":"/x","install":{"force":true}}`,
		`{"op":"rollback","generation":-1}`,
		`{"op":"logs","lines":-1}`, `{"op":"logs","lines":10001}`,
	} {
		if q, err := nodeapi.ReadRequest(strings.NewReader(bad)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %+v, %v", bad, q, err)
		}
	}
	long := `{"op":"logs","service":"` + strings.Repeat("x", 64<<10) + `"}`
	if _, err := nodeapi.ReadRequest(strings.NewReader(long)); errs.KindOf(err) != errs.Invalid || !errors.Is(err, fsx.ErrTooLong) {
		t.Errorf("a long request: %v", err)
	}
}
