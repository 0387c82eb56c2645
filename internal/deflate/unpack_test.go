package deflate_test

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"testing"

	"overland/internal/deflate"
)

// unpack unpacks the stream b, which is meant to become n bytes. Behind it lies something else.
func unpack(u *deflate.Unpacker, b []byte, n int) ([]byte, error) {
	out := bytes.Repeat([]byte{0xa5}, n+deflate.Slack)
	err := u.Unpack(out, append(bytes.Clone(b), bytes.Repeat([]byte{0xff}, deflate.Slack)...))
	return out[:n], err
}

// packed returns b as encoders of that level write it.
func packed(t *testing.T, b []byte, level int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, level)
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// levels are those with other kinds of blocks: stored, fixed, of literals alone, with and without lazy matches.
var levels = []int{flate.NoCompression, flate.BestSpeed, flate.DefaultCompression, flate.BestCompression, flate.HuffmanOnly}

func TestUnpackInMemory(t *testing.T) {
	var u deflate.Unpacker
	list := samples()
	list["a byte"], list["a run"] = []byte("x"), bytes.Repeat([]byte("abc"), 99)
	for name, b := range list {
		b = b[:min(len(b), 90_000)] // some blocks
		for _, level := range levels {
			p := packed(t, b, level)
			if got, err := unpack(&u, p, len(b)); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%s, level %d: %v", name, level, err)
			}
			for _, n := range []int{len(b) - 1, len(b) + 1, 0} {
				if _, err := unpack(&u, p, max(n, 0)); err == nil && max(n, 0) != len(b) {
					t.Errorf("%s, level %d: unpacked to %d bytes, not %d", name, level, n, len(b))
				}
			}
			for _, n := range []int{len(p) - 1, len(p) / 2, 0} {
				if _, err := unpack(&u, p[:n], len(b)); err == nil {
					t.Errorf("%s, level %d: unpacked from %d of %d bytes", name, level, n, len(p))
				}
			}
		}
		if got, err := unpack(&u, pack(t, b, func() int { return 4096 }), len(b)); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, short := range [][]byte{nil, make([]byte, deflate.Slack-1)} {
		if u.Unpack(short, make([]byte, 100)) == nil || u.Unpack(make([]byte, 100), short) == nil {
			t.Errorf("there is no room in %d bytes", len(short))
		}
	}
}

// same reports whether what u says of the stream b holds.
func same(t *testing.T, u *deflate.Unpacker, b []byte) {
	t.Helper()
	const most = 1 << 18
	want, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), most))
	if len(want) == most {
		return
	}
	for _, n := range []int{len(want), len(want) + 1} {
		got, fast := unpack(u, b, n)
		if fast == nil && (err != nil || !bytes.Equal(got, want)) {
			t.Errorf("%x\nunpacked to %d bytes, %.60q; the usual decoder: %d, %.60q, %v", b, n, got, len(want), want, err)
		}
	}
}

// A damaged stream is never unpacked to something that the usual decoder does not say.
func TestUnpackDamaged(t *testing.T) {
	var u deflate.Unpacker
	r := rand.New(rand.NewPCG(5, 6))
	text, mixed := samples()["text"][:4000], samples()["mixed"][:4000]
	for _, b := range [][]byte{text, mixed} {
		for _, level := range levels {
			p := packed(t, b, level)
			for range 150 {
				bad := bytes.Clone(p)
				at := r.IntN(len(bad))
				if r.IntN(2) == 0 {
					at = r.IntN(min(len(bad), 80)) // where the tables are
				}
				bad[at] ^= 1 << r.IntN(8)
				same(t, &u, bad)
			}
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("\x03\x00"), false)
	f.Add([]byte("\x4b\x4c\x4a\x4e\x01\x00"), true)
	f.Add([]byte("\x05\xc0\x81\x00\x00\x00\x00\x00\x90\xff\x6b\x04"), false) // one code for a distance
	f.Fuzz(func(t *testing.T, b []byte, whole bool) {
		var u deflate.Unpacker
		same(t, &u, b)
		if !whole || len(b) > 1<<16 {
			return
		}
		for _, level := range levels {
			if got, err := unpack(&u, packed(t, b, level), len(b)); err != nil || !bytes.Equal(got, b) {
				t.Errorf("level %d: %q, %v, not %q", level, got, err, b)
			}
		}
	})
}
