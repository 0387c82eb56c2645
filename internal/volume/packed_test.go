package volume

import (
	"bytes"
	"cmp"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/deflate"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// packable returns content of which some becomes shorter: an agent that runs here, a text that is
// long, zeros; noise and what is short stay as they are.
func packable(t testing.TB) *fixture {
	f := small(t)
	f.add("text/plain", bytes.Repeat([]byte("the cable is unplugged\n"), 40_000))
	f.add("application/octet-stream", noise(5000, 9))
	f.add("application/octet-stream", append(noise(1000, 10), make([]byte, 4000)...))
	return f
}

func TestPacked(t *testing.T) {
	f := packable(t)
	stored, packed := f.seal(t, Options{}), f.seal(t, Options{Pack: deflate.NewWriter})
	b := read(t, packed)
	if !bytes.Equal(b, read(t, f.seal(t, Options{Pack: deflate.NewWriter}))) {
		t.Error("the same content gives other bytes")
	}
	if plain := read(t, stored); len(b) > len(plain)/10 {
		t.Errorf("%d bytes of %d", len(b), len(plain))
	}
	if err := check(t, packed); err != nil {
		t.Fatal(err)
	}
	v := open(t, packed)
	var shorter, same int
	for _, e := range v.Entries() {
		d := e.Digest
		if !strings.HasPrefix(e.Name, prefixBlob) {
			continue
		}
		if e.Packed > 0 {
			shorter++
		} else {
			same++
		}
		want := f.blobs[d]
		if size, err := v.Stat(d); err != nil || size != int64(len(want)) || e.Size != size {
			t.Errorf("%s: %d and %d bytes, %v", d, size, e.Size, err)
		}
		if got, err := v.Bytes(t.Context(), d, e.Size); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", d, len(got), err)
		}
		for _, off := range []int64{0, 1, e.Size / 2, e.Size} {
			if off > e.Size {
				continue
			}
			r, size, err := v.Open(t.Context(), d, off)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || size != e.Size || !bytes.Equal(got, want[off:]) {
				t.Errorf("%s from byte %d: %d bytes, %v", d, off, len(got), err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, _, err := v.Open(t.Context(), d, e.Size+1); errs.KindOf(err) != errs.Invalid {
			t.Errorf("beyond the end: %v", err)
		}
		r, closer, err := v.Section(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		back := make([]byte, e.Size)
		if _, err := r.ReadAt(back[e.Size/2:], e.Size/2); err != nil && err != io.EOF {
			t.Error(err)
		}
		if _, err := r.ReadAt(back[:e.Size/2], 0); err != nil && err != io.EOF || !bytes.Equal(back, want) {
			t.Errorf("%s: its section is not it: %v", d, err)
		}
		if err := closer.Close(); err != nil {
			t.Error(err)
		}
	}
	if shorter != 3 || same < 5 { // the layer, the text, the zeros
		t.Errorf("%d blobs are compressed, %d are not", shorter, same)
	}
}

// A file server without a word of volumes serves each blob in place: a range of the file is its
// compressed bytes, and what they unpack to has the blob's name. A range that was cut goes on.
func TestPackedIsServedInPlace(t *testing.T) {
	f := packable(t)
	path := f.seal(t, Options{Pack: deflate.NewWriter})
	v := open(t, path)
	s := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(path))))
	defer s.Close()
	get := func(from, to int64) []byte {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/"+filepath.Base(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusPartialContent {
			t.Fatalf("%s: %v", resp.Status, err)
		}
		return b
	}
	var shorter int
	for _, e := range v.Entries() {
		if !strings.HasPrefix(e.Name, prefixBlob) {
			continue
		}
		length := cmp.Or(e.Packed, e.Size)
		if length < 2 {
			continue
		}
		b := append(get(e.Offset, e.Offset+length/2), get(e.Offset+length/2, e.Offset+length)...)
		if packed, ok := v.doc.Packed[e.Digest]; ok != (e.Packed > 0) || ok && (packed.Digest != digest.Of(b) || packed.Size != length) {
			t.Errorf("%s: the served bytes are %s, %s says %+v", e.Name, digest.Of(b), nameDocument, packed)
		}
		if e.Packed > 0 {
			shorter++
			var err error
			if b, err = io.ReadAll(flate.NewReader(bytes.NewReader(b))); err != nil {
				t.Errorf("%s: %v", e.Name, err)
			}
		}
		if digest.Of(b) != e.Digest {
			t.Errorf("%s: served was %s", e.Name, digest.Of(b))
		}
	}
	if shorter != 3 {
		t.Errorf("%d blobs are compressed", shorter)
	}
}

// Everybody's tools read it, and unpacked it is the same OCI layout.
func TestPackedIsAnArchive(t *testing.T) {
	f := packable(t)
	path := f.seal(t, Options{Pack: deflate.NewWriter})
	if out, err := exec.Command("unzip", "-tq", path).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	ours, theirs := filepath.Join(t.TempDir(), "ours"), filepath.Join(t.TempDir(), "theirs")
	if err := open(t, path).Extract(t.Context(), ours, fsx.FS{}); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("busybox", "unzip", "-q", path, "-d", theirs).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command("diff", "-r", ours, theirs).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := exec.Command("skopeo", "inspect", "--raw", "oci:"+ours+":demo").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// No bit of it can change unseen, nor any part be cut.
func TestPackedEveryByteCounts(t *testing.T) {
	f := small(t)
	f.add("text/plain", bytes.Repeat([]byte("abcdefgh"), 100))
	good := f.seal(t, Options{Pack: deflate.NewWriter})
	whole := read(t, good)
	path := filepath.Join(t.TempDir(), "bad.volume")
	for at := stubSize; at < len(whole); at++ {
		b := slices.Clone(whole)
		b[at] ^= 1 << (at % 8)
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := check(t, path); errs.KindOf(err) != errs.Untrusted {
			t.Fatalf("byte %d of %d: %v", at, len(whole), err)
		}
	}
}

// packWith compresses and lets spoil change what came out.
func packWith(spoil func(content, packed []byte) []byte) Pack {
	return func(w io.Writer) (io.WriteCloser, error) { return &spoiler{w: w, spoil: spoil}, nil }
}

type spoiler struct {
	bytes.Buffer
	w     io.Writer
	spoil func(content, packed []byte) []byte
}

func (s *spoiler) Close() error {
	_, err := s.w.Write(s.spoil(s.Bytes(), squeeze(s.Bytes())))
	return err
}

func squeeze(b []byte) []byte {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		panic(err)
	}
	_, err = w.Write(b)
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// What a forger compresses: every sum of the file is right, but the content's.
func TestPackedForgeries(t *testing.T) {
	if err := check(t, packable(t).seal(t, Options{Pack: packWith(func(_, p []byte) []byte { return p })})); err != nil {
		t.Fatalf("the forger's tool makes no good volume: %v", err)
	}
	for name, spoil := range map[string]func(content, packed []byte) []byte{
		"bytes behind the end": func(_, p []byte) []byte { return append(p, 0) },
		"no end":               func(_, p []byte) []byte { return p[:len(p)-1] },
		"damaged":              func(_, p []byte) []byte { p[len(p)/2] ^= 0xff; return p },
		"longer content":       func(c, _ []byte) []byte { return squeeze(append(slices.Clone(c), 'x')) },
		"shorter content":      func(c, _ []byte) []byte { return squeeze(c[:len(c)-1]) },
		"other content":        func(c, _ []byte) []byte { return squeeze(append([]byte{c[0] + 1}, c[1:]...)) },
		"a bomb":               func(c, _ []byte) []byte { return squeeze(make([]byte, 50*len(c))) },
		"two streams":          func(c, p []byte) []byte { return append(p, squeeze(c)...) },
	} {
		t.Run(name, func(t *testing.T) {
			f := packable(t)
			path := f.seal(t, Options{Pack: packWith(spoil)})
			if err := check(t, path); errs.KindOf(err) != errs.Untrusted {
				t.Errorf("verify: %v", err)
			}
			v := open(t, path)
			dir := filepath.Join(t.TempDir(), "out")
			if err := v.Extract(t.Context(), dir, fsx.FS{}); errs.KindOf(err) != errs.Untrusted {
				t.Errorf("extract: %v", err)
			}
			for _, e := range v.Entries() {
				if e.Packed == 0 {
					continue
				}
				if b, err := v.Bytes(t.Context(), e.Digest, e.Size); !errors.Is(err, digest.ErrMismatch) && !bytes.Equal(b, f.blobs[e.Digest]) {
					t.Errorf("bytes of %s: %v", e.Name, err)
				}
				r, _, err := v.Open(t.Context(), e.Digest, 0)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, digest.Reader(r, e.Digest, e.Size)); !errors.Is(err, digest.ErrMismatch) || n > e.Size {
					t.Errorf("%s: %d bytes, %v", e.Name, n, err)
				}
			}
		})
	}
}

// What the document and the directory say of compressed blobs must agree.
func TestPackedMustBeListed(t *testing.T) {
	for name, change := range map[string]func(p *plan){
		"not listed": func(p *plan) {
			doc := bytes.ReplaceAll(p.files[nameDocument], []byte(`"packed"`), []byte(`"packet"`))
			p.files[nameDocument] = doc
		},
		"another length": func(p *plan) {
			for i := range p.members {
				if p.members[i].packed > 0 {
					p.members[i].packed--
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := packable(t)
			packed := map[digest.Digest]packedBlob{}
			for _, b := range f.Blobs {
				if p := squeeze(f.blobs[b.Digest]); b.Size >= least && int64(len(p)) < b.Size {
					packed[b.Digest] = packedBlob{documentPacked: documentPacked{digest.Of(p), int64(len(p))}}
				}
			}
			p, err := makePlan(f.Content, packed)
			if err != nil {
				t.Fatal(err)
			}
			change(p)
			if _, err := Open(layOut(t, f, p)); errs.KindOf(err) != errs.Untrusted {
				t.Error(err)
			}
		})
	}
}

// The program at the front starts a compressed agent with the machine's gzip, in every shell.
func TestStubStartsAPackedAgent(t *testing.T) {
	f := runnable(t)
	path := f.seal(t, Options{Pack: deflate.NewWriter})
	split := f.seal(t, Options{Pack: deflate.NewWriter, Split: 300_000})
	if e := open(t, path).blob(f.Agents[0].Digest); e.packed == 0 {
		t.Fatal("the agent is not compressed")
	}
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			sh(t, shell, path, nil, "verify", "--exit", "3").want(t, 3, "agent here called")
			sh(t, shell, split+".001", nil, "install").want(t, 0, "agent here called")
		})
	}
	v := open(t, path)
	m := v.blob(f.Agents[0].Digest)
	for name, change := range map[string]func(b []byte) []byte{
		"flipped": func(b []byte) []byte { b[m.data+m.packed/2] ^= 1; return b },
		"cut":     func(b []byte) []byte { return b[:m.data+m.packed/2] },
	} {
		tmp := t.TempDir()
		r := sh(t, shells["busybox"], forge(t, path, change), []string{"TMPDIR=" + tmp}, "install")
		if r.want(t, 4, "not the one that this volume was sealed with"); strings.Contains(r.out, "called with") {
			t.Errorf("%s: the agent was run", name)
		}
		empty(t, tmp)
	}
	bin := t.TempDir() // a machine without gzip and without busybox
	for _, tool := range []string{"tail", "head", "sha256sum", "mkdir", "chmod", "rm", "uname", "cat"} {
		at, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(at, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	dash, err := exec.LookPath("dash")
	if err != nil {
		t.Fatal(err)
	}
	sh(t, []string{dash}, path, []string{"PATH=" + bin}, "install").want(t, 1, "this machine has no gzip", "--compress")
	sh(t, []string{dash}, runnable(t).seal(t, Options{}), []string{"PATH=" + bin}, "install").want(t, 0, "agent here called")
}

// FuzzUnpack reads compressed bytes of others: never more than was announced, and an end that is one.
func FuzzUnpack(f *testing.F) {
	f.Add(squeeze([]byte("the cable is unplugged")), int64(22))
	f.Add(squeeze(make([]byte, 1<<16)), int64(1<<16))
	f.Add(append(squeeze([]byte("x")), 'y'), int64(1))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		size &= 1<<20 - 1
		got, err := io.ReadAll(unpack(bytes.NewReader(b), size))
		if int64(len(got)) > size || err == nil && int64(len(got)) != size {
			t.Fatalf("%d bytes of %d, %v", len(got), size, err)
		}
		if err != nil && !errors.Is(err, digest.ErrMismatch) {
			t.Fatalf("%v is not called a mismatch", err)
		}
		if err == nil {
			if again, err := io.ReadAll(flate.NewReader(bytes.NewReader(b))); err != nil || !bytes.Equal(again, got) {
				t.Fatalf("compress/flate reads %d bytes, %v", len(again), err)
			}
		}
	})
}
