package apk_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/ecosystem/apk"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/testkit/recording"
)

func TestAChainIsRecordedVerifiedAndReplayed(t *testing.T) {
	for _, kind := range []string{"RSA", "RSA256", "RSA512"} {
		s := newSession(t)
		plain := s.unsigned(birth, strings.Repeat("\n", 3), "P:none\nV:1\n\n", record1(t, s))
		s.put(teaIdx, sign(t, otherKey(), "RSA", "other.rsa.pub", sign(t, s.key, kind, keyName, plain)))
		index := s.get(teaIdx)
		for _, c := range []struct{ name, kind, value string }{
			{teaIdx, apk.ProofKey, keyName + " sha256:"},
			{teaApk, apk.ProofIndex, fmt.Sprintf("calm/%s sha256:%x", teaIdx, sha256.Sum256(index))},
		} {
			e, err := s.fetch(c.name)
			if err != nil {
				t.Fatalf("%s: %s: %v", kind, c.name, err)
			}
			if e.Key != "calm/"+c.name || e.Proof.Kind != c.kind || !strings.HasPrefix(e.Proof.Value, c.value) || e.Mutable != (c.name == teaIdx) {
				t.Errorf("%s: %+v", c.name, e)
			}
		}
		lock := s.recorder.Lock()
		if bad := record.Verify(t.Context(), record.NewReplayer(s.store, lock), s.protocol); len(bad) > 0 {
			t.Errorf("verify: %v", bad)
		}
		// Without its index nothing proves the package; and what an earlier session
		// locked proves it in a later one.
		alone := &lockfile.Lock{Entries: lock.Entries[1:]}
		if bad := record.Verify(t.Context(), record.NewReplayer(s.store, alone), s.protocol); len(bad) != 1 {
			t.Errorf("verify of a package alone: %v", bad)
		}
		s.restart(&lockfile.Lock{Entries: lock.Entries[:1]})
		clear(s.protocol.Tables())
		if e, err := s.fetch(teaApk); err != nil || e.Proof != lock.Entries[1].Proof {
			t.Errorf("%+v %v", e, err)
		}
	}
}

// record1 returns the record of tea in the index that is published.
func record1(t *testing.T, s *session) string {
	t.Helper()
	parts := members(t, s.get(teaIdx))
	files := tar.NewReader(bytes.NewReader(unpacked(t, parts[len(parts)-1])))
	for {
		switch h, err := files.Next(); {
		case err != nil:
			t.Fatal(err)
		case h.Name != "APKINDEX":
			continue
		}
		b, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

// members returns the gzip members of b.
func members(t *testing.T, b []byte) (list [][]byte) {
	t.Helper()
	r := bytes.NewReader(b) // an io.ByteReader: gzip reads not a byte beyond a member
	for r.Len() > 0 {
		at := len(b) - r.Len()
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		z.Multistream(false)
		if _, err := io.Copy(io.Discard, z); err != nil {
			t.Fatal(err)
		}
		list = append(list, b[at:len(b)-r.Len()])
	}
	return list
}

// bomb returns a gzip member that unpacks to n zero bytes after head,
// the beginning of a tar archive.
func bomb(t *testing.T, head []byte, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(head); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(z, zeros{}, n); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAttacks(t *testing.T) {
	flip := func(name string, at func(n int) int) func(s *session) {
		return func(s *session) {
			b := s.get(name)
			b[at(len(b))] ^= 1
			s.put(name, b)
		}
	}
	end := func(n int) int { return n - 20 }
	cut := func(name string, n int) func(s *session) {
		return func(s *session) { b := s.get(name); s.put(name, b[:len(b)-n]) }
	}
	put := func(name string, with func(s *session) []byte) func(s *session) {
		return func(s *session) { s.put(name, with(s)) }
	}
	other := func(version, text string) func(s *session) []byte {
		return func(s *session) []byte { b, _ := packed(s.t, s.key, "tea", version, text); return b }
	}
	for _, c := range []struct {
		name   string
		before []string // fetched before the attack
		attack func(s *session)
		ask    string
		want   string
	}{
		{"unsigned index", nil, put(teaIdx, func(s *session) []byte { return s.unsigned(birth) }), teaIdx, "it is not signed"},
		{"unknown key", nil, put(teaIdx, func(s *session) []byte { return sign(t, s.key, "RSA", "x.rsa.pub", s.unsigned(birth)) }), teaIdx, "signed by x.rsa.pub"},
		{"wrong key under a known name", nil, put(teaIdx, func(s *session) []byte { return sign(t, otherKey(), "RSA", keyName, s.unsigned(birth)) }), teaIdx, "verification"},
		{"key with a path", nil, put(teaIdx, func(s *session) []byte {
			return sign(t, s.key, "RSA", "../"+filepath.Base(s.keys)+"/"+keyName, s.unsigned(birth))
		}), teaIdx, "cannot be a key's name"},
		{"kind that is not known", nil, put(teaIdx, func(s *session) []byte {
			return append(member(t, birth, false, entry{".SIGN.DSA." + keyName, "x"}), s.unsigned(birth)...)
		}), teaIdx, "not known here"},
		{"tampered index", nil, flip(teaIdx, end), teaIdx, ""},
		{"truncated index", nil, cut(teaIdx, 9), teaIdx, "verification"},
		{"index of half a signature", nil, func(s *session) { s.put(teaIdx, s.get(teaIdx)[:200]) }, teaIdx, "unexpected EOF"},
		{"index with nothing after its signature", nil, put(teaIdx, func(s *session) []byte { return sign(t, s.key, "RSA", keyName, nil) }), teaIdx, "before its content"},
		{"more after the index", nil, func(s *session) { s.put(teaIdx, append(s.get(teaIdx), s.unsigned(birth)...)) }, teaIdx, "verification"},
		{"more after the index, signed", nil, put(teaIdx, func(s *session) []byte {
			return sign(t, s.key, "RSA", keyName, append(s.unsigned(birth), s.unsigned(birth)...))
		}), teaIdx, "more after"},
		{"something among the signatures", nil, put(teaIdx, func(s *session) []byte {
			return append(member(t, birth, false, entry{".SIGN.RSA." + keyName, "x"}, entry{"APKINDEX", "P:evil\n"}), s.unsigned(birth)...)
		}), teaIdx, "among"},
		{"signed, but no index", nil, put(teaIdx, func(s *session) []byte {
			return sign(t, s.key, "RSA", keyName, member(t, birth, true, entry{"DESCRIPTION", ""}))
		}), teaIdx, "no file APKINDEX"},
		{"two indexes in one", nil, put(teaIdx, func(s *session) []byte {
			return sign(t, s.key, "RSA", keyName, member(t, birth, true, entry{"APKINDEX", ""}, entry{"APKINDEX", ""}))
		}), teaIdx, "two files"},
		{"web page for an index", nil, put(teaIdx, func(*session) []byte { return []byte("Welcome to our WiFi. <html>please log in</html>") }), teaIdx, "gzip"},
		{"gzip bomb for an unsigned index", nil, put(teaIdx, func(s *session) []byte {
			return sign(t, otherKey(), "RSA", keyName, bomb(t, unpacked(t, s.unsigned(birth)), 1<<20))
		}), teaIdx, "verification"},
		{"gzip bomb for a signature", nil, put(teaIdx, func(s *session) []byte {
			return append(bomb(t, nil, 2<<20), s.unsigned(birth)...)
		}), teaIdx, ""},
		{"package without index", nil, func(*session) {}, teaApk, "was not recorded"},
		{"package that is not listed", []string{teaIdx}, func(s *session) { s.put("v1/main/x86_64/evil-1-r0.apk", s.get(teaApk)) }, "v1/main/x86_64/evil-1-r0.apk", "does not list"},
		{"package of another version, signed", []string{teaIdx}, put(teaApk, other("0.9-r0", "tea 1.0")), teaApk, "its index says"},
		{"changed data", []string{teaIdx}, flip(teaApk, end), teaApk, "its .PKGINFO says"},
		{"data of another package, signed", []string{teaIdx}, func(s *session) {
			s.put(teaApk, append(head(t, s.get(teaApk)), member(t, birth, true, entry{"opt/tea", "evil"})...))
		}, teaApk, "its .PKGINFO says"},
		{"more after the package", []string{teaIdx}, func(s *session) { s.put(teaApk, append(s.get(teaApk), 0)) }, teaApk, "its .PKGINFO says"},
		{"other signature before the same package", []string{teaIdx}, func(s *session) {
			parts := members(t, s.get(teaApk))
			parts[0] = member(t, birth, false, entry{".SIGN.RSA.x", strings.Repeat("x", 999)})
			s.put(teaApk, bytes.Join(parts, nil))
		}, teaApk, "its index says"},
		{"truncated package", []string{teaIdx}, cut(teaApk, 9), teaApk, "its .PKGINFO says"},
		{"truncated control files", []string{teaIdx}, func(s *session) { b := head(t, s.get(teaApk)); s.put(teaApk, b[:len(b)-30]) }, teaApk, ""},
		{"no .PKGINFO", []string{teaIdx}, put(teaApk, func(*session) []byte { return member(t, birth, true, entry{"opt/tea", ""}) }), teaApk, "no .PKGINFO"},
		{"no data hash", []string{teaIdx}, put(teaApk, func(*session) []byte { return member(t, birth, true, entry{".PKGINFO", "pkgname = tea\n"}) }), teaApk, "no datahash"},
		{"gzip bomb for control files", []string{teaIdx}, put(teaApk, func(*session) []byte {
			return bomb(t, unpacked(t, member(t, birth, false, entry{".PKGINFO", "pkgname = tea\n"})), 64<<20)
		}), teaApk, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t)
			for _, name := range c.before {
				if _, err := s.fetch(name); err != nil {
					t.Fatal(err)
				}
			}
			c.attack(s)
			_, err := s.fetch(c.ask)
			if errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v (%v), want %q", err, errs.KindOf(err), c.want)
			}
			if got := s.blobs(); got != len(c.before) {
				t.Errorf("%d blobs, %d before the attack", got, len(c.before))
			}
		})
	}
}

// head returns signature and control files of a package.
func head(t *testing.T, b []byte) []byte {
	t.Helper()
	return bytes.Join(members(t, b)[:2], nil)
}

func unpacked(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestKeysThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "text": "hello", "private": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"damaged": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
	} {
		s := newSession(t)
		if err := os.WriteFile(filepath.Join(s.keys, keyName), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := s.fetch(teaIdx); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is held may be older than what comes, never newer.
func TestAnOlderIndexIsRefused(t *testing.T) {
	s := newSession(t)
	hour := func(n int) []byte { s.index(birth.Add(time.Duration(n) * time.Hour)); return s.get(teaIdx) }
	held := hour(1)
	have := func(context.Context, string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(held)), nil }
	for n, want := range map[int]string{0: "before the one held", 1: "", 2: ""} {
		it := record.Item{Protocol: apk.Name, Key: "calm/" + teaIdx, Mutable: true}
		_, err := s.protocol.Check(t.Context(), it, bytes.NewReader(hour(n)), have)
		if want == "" && err != nil || want != "" && (errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), want)) {
			t.Errorf("of hour %d: %v", n, err)
		}
	}
}

// A lock that is updated never goes back to an older index, though the new one is recorded from nothing.
func TestAnUpdateGoesNotBack(t *testing.T) {
	s := newSession(t)
	s.index(birth.Add(time.Hour))
	if _, _, err := recording.Fetch(t, s.recorder, s.protocol, "/calm/"+teaIdx, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.recorder.Settle(); err != nil {
		t.Fatal(err)
	}
	seen := s.recorder.Lock()
	for n, want := range []string{"before the one held", "", ""} {
		s.index(birth.Add(time.Duration(n) * time.Hour))
		s.recorder = recording.Updating(t, s.store, seen)
		_, _, err := recording.Fetch(t, s.recorder, s.protocol, "/calm/"+teaIdx, "")
		if want == "" && err != nil || want != "" && (errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), want)) {
			t.Errorf("of hour %d: %v", n, err)
		}
	}
}
