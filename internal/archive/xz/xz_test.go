package xz_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	other "github.com/therootcompany/xz"

	"overland/internal/archive/xz"
)

const most = 64 << 20

// samples are made from numbers: text, what does not compress, both, what repeats a byte, and nothing.
func samples() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 300_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	var text, mixed []byte
	for range 60_000 {
		text = append(text, "the cable is unplugged "[r.IntN(12):][:r.IntN(11)]...)
	}
	for range 4_000 {
		at := r.IntN(len(noise) - 100)
		mixed = append(append(mixed, noise[at:at+r.IntN(100)]...), text[r.IntN(len(text)):][:1]...)
	}
	far := slices.Concat(noise[:1<<16], make([]byte, 1<<20), noise[:1<<16], text, noise[:1<<16]) // further back than a small dictionary
	return map[string][]byte{"nothing": {}, "a byte": {'x'}, "text": text, "noise": noise, "mixed": mixed, "far": far}
}

func pack(t testing.TB, b []byte, args ...string) []byte {
	t.Helper()
	c := exec.CommandContext(t.Context(), "xz", append([]string{"-c", "-T1"}, args...)...)
	c.Stdin = bytes.NewReader(b)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func unpack(b []byte) ([]byte, error) {
	r, err := xz.NewReader(bytes.NewReader(b), most)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func TestAsTheToolPacks(t *testing.T) {
	ways := []string{
		"-6", "--lzma2=dict=4KiB", "--lzma2=dict=4KiB,lc=0,lp=4,pb=0", "--lzma2=lc=4,lp=0,pb=4",
		"--lzma2=lc=1,lp=2,pb=1,mode=fast,nice=3", "--block-size=100000", "--check=none", "--check=crc32", "--check=sha256", "-9",
	}
	for name, b := range samples() {
		some := ways[:2]
		if name == "text" || name == "far" {
			some = ways
		}
		for _, args := range some {
			z := pack(t, b, strings.Fields(args)...)
			got, err := unpack(z)
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("%s, xz %s: %v, %d of %d bytes", name, args, err, len(got), len(b))
			}
		}
	}
}

func TestStreamsBehindEachOther(t *testing.T) {
	list := samples()
	one, two := pack(t, list["text"]), pack(t, list["noise"], "--check=sha256")
	for name, c := range map[string]struct {
		file []byte
		ok   bool
	}{
		"two streams":             {slices.Concat(one, two), true},
		"zeros between":           {slices.Concat(one, make([]byte, 8), two, make([]byte, 4)), true},
		"zeros, no multiple of 4": {slices.Concat(one, make([]byte, 6), two), false},
		"something else":          {slices.Concat(one, []byte("xz, no more")), false},
		"zeros alone":             {make([]byte, 16), false},
	} {
		got, err := unpack(c.file)
		if (err == nil) != c.ok || c.ok && !bytes.Equal(got, slices.Concat(list["text"], list["noise"])) {
			t.Errorf("%s: %v, %d bytes", name, err, len(got))
		}
	}
}

// Every byte of a file counts, and so does its end.
func TestEveryByteCounts(t *testing.T) {
	b := samples()["text"][:900]
	z := pack(t, b, "--block-size=300", "--lzma2=dict=4KiB")
	for i := range z {
		if got, err := unpack(z[:i]); err == nil {
			t.Errorf("cut at %d: %d bytes, no error", i, len(got))
		} else if i >= 12 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", i, err)
		}
		for _, change := range []byte{1, 0x80} {
			damaged := slices.Clone(z)
			damaged[i] ^= change
			if got, err := unpack(damaged); err == nil {
				t.Errorf("byte %d changed by %#x: %d bytes, no error", i, change, len(got))
			}
		}
	}
}

func TestWhatIsNotKnownIsNamed(t *testing.T) {
	b := samples()["text"][:3000]
	for says, args := range map[string]string{
		"filter 0x4 of 2": "--x86 --lzma2=preset=6",
		"filter 0x3 of 2": "--delta=dist=4 --lzma2=preset=6",
		"a dictionary of 134217728 bytes, more than 67108864": "--lzma2=dict=128MiB",
	} {
		if _, err := unpack(pack(t, b, strings.Fields(args)...)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("xz %s: %v", args, err)
		}
	}
	z := pack(t, b)
	z[7] = 2 // nobody's
	binary.LittleEndian.PutUint32(z[8:], crc32.ChecksumIEEE(z[6:8]))
	if _, err := unpack(z); err == nil || !strings.Contains(err.Error(), "check 2") {
		t.Errorf("check 2: %v", err)
	}
	if _, err := unpack([]byte("a line of text, not xz")); err == nil || !strings.Contains(err.Error(), "no xz file") {
		t.Errorf("text: %v", err)
	}
}

// A dictionary is memory as far as it is filled.
func TestMemoryOfADictionary(t *testing.T) {
	z := pack(t, samples()["text"], "--lzma2=dict=64MiB")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := unpack(z); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("%d bytes for a file that unpacks to %d", n, len(samples()["text"]))
	}
}

// FuzzReader holds the reader to another one: what both take is the same.
func FuzzReader(f *testing.F) {
	b := samples()["text"][:2000]
	for _, args := range []string{"-0", "--block-size=300", "--lzma2=dict=4KiB,lc=0,lp=4,pb=0", "--check=none"} {
		f.Add(pack(f, b, strings.Fields(args)...))
	}
	f.Fuzz(func(t *testing.T, z []byte) {
		const limit = 4 << 20
		var got []byte
		r, err := xz.NewReader(bytes.NewReader(z), 1<<20)
		if err == nil {
			got, err = io.ReadAll(io.LimitReader(r, limit))
		}
		if err != nil || len(got) == limit {
			return
		}
		o, err := other.NewReader(bytes.NewReader(z), 1<<20)
		if err != nil {
			t.Fatalf("%d bytes; the other: %v", len(got), err)
		}
		if want, err := io.ReadAll(o); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes; the other: %v, %d bytes", len(got), err, len(want))
		}
	})
}

func BenchmarkReader(b *testing.B) {
	z := pack(b, slices.Repeat(samples()["mixed"], 8))
	for name, open := range map[string]func() (io.Reader, error){
		"ours":           func() (io.Reader, error) { return xz.NewReader(bytes.NewReader(z), most) },
		"therootcompany": func() (io.Reader, error) { return other.NewReader(bytes.NewReader(z), most) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r, err := open()
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, r)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(n)
			}
		})
	}
}
