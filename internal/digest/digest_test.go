package digest_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"overland/internal/digest"
)

func TestParseTakesOnlyTheOneSpelling(t *testing.T) {
	good := string(digest.Of(nil))
	for _, s := range []string{"", "sha256:", good[:70], good + "0", strings.ToUpper(good), "sha512:" + good[7:], "sha256:" + strings.Repeat("g", 64), " " + good} {
		if d, err := digest.Parse(s); !errors.Is(err, digest.ErrInvalid) {
			t.Errorf("Parse(%q) = %q, %v", s, d, err)
		}
	}
	if d, err := digest.Parse(good); err != nil || string(d) != good {
		t.Errorf("Parse(%q) = %q, %v", good, d, err)
	}
}

func TestReaderRefusesEveryOtherContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "want")
		got := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "got")
		if rapid.Bool().Draw(t, "same") {
			got = want
		}
		size := int64(len(want))
		if rapid.Bool().Draw(t, "unknown size") {
			size = -1
		}
		_, err := io.ReadAll(digest.Reader(bytes.NewReader(got), digest.Of(want), size))
		if same := bytes.Equal(got, want); same != (err == nil) {
			t.Fatalf("same %v, error %v", same, err)
		}
		if err != nil && !errors.Is(err, digest.ErrMismatch) {
			t.Fatalf("error %v does not wrap ErrMismatch", err)
		}
	})
}

func TestReaderStopsAnEndlessSource(t *testing.T) {
	endless := &counter{}
	if _, err := io.ReadAll(digest.Reader(endless, digest.Of([]byte("x")), 1)); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("error %v", err)
	}
	if endless.n > 2 {
		t.Errorf("read %d bytes of an endless source for a blob of 1 byte", endless.n)
	}
}

type counter struct{ n int }

func (c *counter) Read(p []byte) (int, error) {
	c.n += len(p)
	return len(p), nil
}

func FuzzParse(f *testing.F) {
	f.Add(string(digest.Of(nil)))
	f.Add("sha256:../../etc/passwd")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := digest.Parse(s)
		if err == nil && (string(d) != s || len(d.Encoded()) != 64) {
			t.Errorf("Parse(%q) = %q", s, d)
		}
	})
}
