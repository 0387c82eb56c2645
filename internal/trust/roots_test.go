package trust_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"overland/internal/errs"
	"overland/internal/trust"
)

// endless is a source that has every root version that is asked for, none of them signed, until its end.
type endless struct {
	end   int // 0: none
	asked int
}

func (e *endless) Metadata(context.Context, string, int64) ([]byte, error) {
	if e.asked++; e.end > 0 && e.asked > e.end {
		return nil, fs.ErrNotExist
	}
	return []byte("root"), nil
}

func TestS23RootRequestsAreBounded(t *testing.T) {
	walk := func(src trust.MetadataSource) (n int, last error) {
		for _, last = range trust.Roots(t.Context(), src, 1) {
			n++
		}
		return n, last
	}
	src := &endless{}
	if _, err := walk(src); !errors.Is(err, trust.ErrTooMany) || errs.KindOf(err) != errs.Untrusted || src.asked != trust.MaxRoots {
		t.Errorf("%d requests, %v", src.asked, err)
	}
	if n, err := walk(&endless{end: 3}); n != 3 || err != nil {
		t.Errorf("%d of 3 roots, %v", n, err)
	}
	if _, err := walk(oversized{}); !errors.Is(err, trust.ErrTooLarge) {
		t.Errorf("a root beyond its limit: %v", err)
	}
}

type oversized struct{}

func (oversized) Metadata(_ context.Context, _ string, limit int64) ([]byte, error) {
	return make([]byte, limit+1), nil
}

// A file with more keys, signatures or delegations than anybody needs is refused before one is verified.
func TestFormLimits(t *testing.T) {
	list := func(n int, format string) string {
		var b []byte
		for i := range n {
			if i > 0 {
				b = append(b, ',')
			}
			if format == `"a"` {
				b = append(b, format...)
				continue
			}
			b = fmt.Appendf(b, format, i)
		}
		return string(b)
	}
	const key = `"%d":{"keytype":"x","keyval":{"public":"x"}}`
	for name, c := range map[string]struct {
		limit int
		file  func(n int) string
	}{
		"signatures": {trust.MaxSignatures, func(n int) string {
			return `{"signed":{"_type":"targets","version":1},"signatures":[` + list(n, `{"keyid":"%d"}`) + `]}`
		}},
		"keys": {trust.MaxKeys, func(n int) string {
			return `{"signed":{"_type":"targets","version":1,"delegations":{"keys":{` + list(n, key) + `},"roles":[]}},"signatures":[]}`
		}},
		"keys of a delegation": {trust.MaxSignatures, func(n int) string {
			return `{"signed":{"_type":"targets","version":1,"delegations":{"keys":{},"roles":[{"name":"r","keyids":[` + list(n, `"a"`) + `]}]}},"signatures":[]}`
		}},
		"delegations": {trust.MaxDelegations, func(n int) string {
			return `{"signed":{"_type":"targets","version":1,"delegations":{"keys":{},"roles":[` + list(n, `{"name":"r%d"}`) + `]}},"signatures":[]}`
		}},
	} {
		for n, want := range map[int]bool{c.limit: true, c.limit + 1: false} {
			if err := trust.CheckForm([]byte(c.file(n)), "targets"); (err == nil) != want {
				t.Errorf("%d %s: %v", n, name, err)
			}
		}
	}
	root := func(n int) []byte {
		return []byte(`{"signed":{"_type":"root","version":1,"roles":{"root":{"threshold":1,"keyids":[` + list(n, `"a"`) + `]}}},"signatures":[]}`)
	}
	if err := trust.CheckForm(root(trust.MaxSignatures), "root"); err != nil {
		t.Error(err)
	}
	if err := trust.CheckForm(root(trust.MaxSignatures+1), "root"); err == nil {
		t.Error("a root role with too many keys")
	}
}
