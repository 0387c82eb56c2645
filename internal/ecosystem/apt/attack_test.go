package apt_test

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"overland/internal/clock"
	"overland/internal/deb"
	"overland/internal/ecosystem/apt"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/testkit/pack"
	"overland/internal/testkit/recording"
)

func TestAChainIsRecordedWithItsProofs(t *testing.T) {
	s := newSession(t)
	byHash := path.Join(path.Dir(indexPath), "by-hash/SHA256", hexSum(s.get(indexPath)))
	for _, c := range []struct{ name, kind, value string }{
		{"dists/calm/InRelease", apt.ProofKey, deb.Fingerprint(s.key)},
		{byHash, apt.ProofRelease, "archive/dists/calm/InRelease sha256:" + hexSum(s.get("dists/calm/InRelease"))},
		{debPath, apt.ProofIndex, "archive/" + indexPath + " sha256:" + hexSum(s.get(indexPath))},
	} {
		e, err := s.fetch(c.name)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if want := (lockfile.Proof{Kind: c.kind, Value: c.value}); e.Proof != want || e.Key != "archive/"+c.name {
			t.Errorf("%s: key %s, proof %v, want %v", c.name, e.Key, e.Proof, want)
		}
	}
}

func TestAPackageIsProvedByWhatAnEarlierSessionLocked(t *testing.T) {
	s := newSession(t)
	for _, name := range []string{"dists/calm/InRelease", indexPath} {
		if _, err := s.fetch(name); err != nil {
			t.Fatal(err)
		}
	}
	s.restart()
	clear(s.protocol.Tables())
	if e, err := s.fetch(debPath); err != nil || e.Proof.Kind != apt.ProofIndex {
		t.Errorf("%v %v", e, err)
	}
}

// A package for all architectures is proved by the index that is there when it is asked for. The lock says the same one,
// whatever was asked for first, and when the base's suite lists it that one's.
func TestTheProofOfAPackageDoesNotDependOnTheOrder(t *testing.T) {
	const all, amd64, armel = "pool/main/c/cup/cup_1_all.deb", "dists/calm/main/binary-amd64/Packages", "dists/calm/main/binary-armel/Packages"
	const updates = "dists/calm-a/main/binary-amd64/Packages"
	proofs := map[lockfile.Proof]int{}
	for _, order := range [][]string{{amd64, armel, updates}, {armel, updates, amd64}, {updates, armel, amd64}} {
		s := newSession(t)
		body := []byte("a package")
		s.put(all, body)
		for _, suite := range []string{"calm", "calm-a"} {
			lists := map[string][]byte{}
			for _, name := range []string{amd64, armel, updates} {
				if rel, ok := strings.CutPrefix(name, "dists/"+suite+"/"); ok {
					lists[rel] = fmt.Appendf(nil, "Package: cup\nFilename: %s\nSize: %d\nSHA256: %s\n\nPackage: own\nFilename: pool/%s.deb\nSize: 1\nSHA256: %s\n", all, len(body), hexSum(body), name, hexSum([]byte("x")))
					s.put(name, lists[rel])
					s.put("pool/"+name+".deb", []byte("x"))
				}
			}
			s.put("dists/"+suite+"/InRelease", pack.DebianRelease(s.key, suite, lists))
		}
		p, err := apt.New(s.sources, apt.Options{Clock: clock.At(pack.DebianBirth.AddDate(0, 0, 1))})
		if err != nil {
			t.Fatal(err)
		}
		s.protocol = p
		for _, name := range order {
			for _, want := range []string{strings.Join(strings.Split(name, "/")[:2], "/") + "/InRelease", name} {
				if _, err := s.fetch(want); err != nil {
					t.Fatalf("%s: %v", want, err)
				}
			}
			for _, file := range []string{all, "pool/" + name + ".deb"} {
				if _, err := s.fetch(file); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
			}
		}
		s.recorder.Close()
		e, ok := s.recorder.Lock().Find(apt.Name, "archive/"+all)
		if !ok || !strings.HasPrefix(e.Proof.Value, "archive/"+order[0]+" ") {
			t.Errorf("%v: %+v", order, e)
		}
		proofs[p.Choose(e)]++
	}
	want := "archive/" + amd64 + " sha256:"
	for proof := range proofs {
		if len(proofs) != 1 || !strings.HasPrefix(proof.Value, want) {
			t.Errorf("chosen: %v", proofs)
		}
	}
}

func TestAnIndexIsReadBeforeItsPackagesAreAskedFor(t *testing.T) {
	s := newSession(t)
	for _, name := range []string{"dists/calm/InRelease", indexPath} {
		if _, err := s.fetch(name); err != nil {
			t.Fatal(err)
		}
	}
	s.recorder.Close()
	if _, ok := s.protocol.Tables()[hexSum(s.get(indexPath))]; !ok {
		t.Errorf("tables: %v", s.protocol.Tables())
	}
}

func TestAttacks(t *testing.T) {
	const inRelease = "dists/calm/InRelease"
	day := func(n int) func(s *session) { // an InRelease of that day, valid for a week
		return func(s *session) {
			s.release(s.key, "calm", birth.AddDate(0, 0, n), birth.AddDate(0, 0, n+7))
		}
	}
	flip := func(name string) func(s *session) {
		return func(s *session) {
			b := s.get(name)
			b[len(b)/2] ^= 1
			s.put(name, b)
		}
	}
	page := func(name string) func(s *session) {
		return func(s *session) { s.put(name, []byte("Welcome to our WiFi. <html>please log in</html>")) }
	}
	replace := func(old, with string) func(s *session) {
		return func(s *session) { s.put(inRelease, bytes.Replace(s.get(inRelease), []byte(old), []byte(with), 1)) }
	}
	for _, c := range []struct {
		name   string
		before []string // fetched before the attack
		attack func(s *session)
		ask    string
		want   string
	}{
		{"tampered index", []string{inRelease}, flip(indexPath), indexPath, "signed is"},
		{"longer index", []string{inRelease}, func(s *session) { s.put(indexPath, append(s.get(indexPath), 0)) }, indexPath, "bytes, signed are"},
		{"index without InRelease", nil, func(*session) {}, indexPath, "was not recorded"},
		{"index that is not listed", []string{inRelease}, func(s *session) { s.put("dists/calm/main/x", []byte("x")) }, "dists/calm/main/x", "does not list"},
		{
			"by-hash that is not listed",
			[]string{inRelease},
			func(s *session) { s.put("dists/calm/by-hash/SHA256/"+hexSum([]byte("x")), []byte("x")) },
			"dists/calm/by-hash/SHA256/" + hexSum([]byte("x")), "does not list",
		},
		{"tampered package", []string{inRelease, indexPath}, flip(debPath), debPath, "signed is"},
		{"web page for a package", []string{inRelease, indexPath}, page(debPath), debPath, "signed are"},
		{"package that is not listed", []string{inRelease, indexPath}, func(s *session) { s.put("pool/evil.deb", []byte("x")) }, "pool/evil.deb", "no index"},
		{"package without index", []string{inRelease}, func(*session) {}, debPath, "no index"},
		{"package without anything", nil, func(*session) {}, debPath, "was not recorded"},
		{"unknown key", nil, func(s *session) { s.release(newKey(), "calm", birth, today) }, inRelease, "signature"},
		{"tampered InRelease", nil, replace("Origin: Test", "Origin: Evil"), inRelease, "signature"},
		{"text before the message", nil, replace("-----BEGIN PGP SIGNED", "Origin: Evil\n\n-----BEGIN PGP SIGNED"), inRelease, "not a clear-signed"},
		{"text after the message", nil, func(s *session) { s.put(inRelease, append(s.get(inRelease), "\nOrigin: Evil\n"...)) }, inRelease, "exactly one"},
		{"two messages", nil, func(s *session) { b := s.get(inRelease); s.put(inRelease, append(b, append([]byte("\n"), b...)...)) }, inRelease, "exactly one"},
		{"unsigned", nil, func(s *session) { s.put(inRelease, []byte("Origin: Test\nSuite: calm\n")) }, inRelease, "not a clear-signed"},
		{"web page for an InRelease", nil, page(inRelease), inRelease, "not a clear-signed"},
		{"expired", nil, day(1), inRelease, "expired"},
		{"from the future", nil, day(11), inRelease, "future"},
		{"another suite", nil, func(s *session) { s.release(s.key, "storm", birth, birth.AddDate(0, 0, 20)) }, inRelease, `of "storm"`},
		{"signed, but no Release", nil, func(s *session) { s.put(inRelease, sign(s.key, "Origin: Test\n")) }, inRelease, "date"},
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

// TestARollbackIsRefused: a service sees one InRelease after another.
func TestARollbackIsRefused(t *testing.T) {
	s := newSession(t)
	newer := s.get("dists/calm/InRelease")
	s.release(s.key, "calm", birth.AddDate(0, 0, 8), birth.AddDate(0, 0, 20))
	older := s.get("dists/calm/InRelease")
	it := record.Item{Protocol: "apt", Key: "archive/dists/calm/InRelease"}
	if _, err := s.protocol.Check(t.Context(), it, bytes.NewReader(newer), holding(older)); err != nil {
		t.Error(err)
	}
	_, err := s.protocol.Check(t.Context(), it, bytes.NewReader(older), holding(newer))
	if errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), "before the one held") {
		t.Error(err)
	}
}

func TestASnapshotMayBeOld(t *testing.T) {
	s := newSession(t)
	s.release(s.key, "calm", birth, birth.AddDate(0, 0, 1))
	s.sources[0].AnyDate = true
	var err error
	if s.protocol, err = apt.New(s.sources, apt.Options{Clock: clock.At(today)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.fetch("dists/calm/InRelease"); err != nil {
		t.Error(err)
	}
}

// TestALockThatSomebodyChanged: lines whose blobs and proofs were changed together,
// link by link up to the signature.
func TestALockThatSomebodyChanged(t *testing.T) {
	s := newSession(t)
	const inRelease = "dists/calm/InRelease"
	for _, name := range []string{inRelease, indexPath, debPath} {
		if _, err := s.fetch(name); err != nil {
			t.Fatal(err)
		}
	}
	verify := func(lock *lockfile.Lock) []error { // years later: what was judged by its date is not judged again
		p, err := apt.New(s.sources, apt.Options{Clock: clock.At(today.AddDate(9, 0, 0)), Locked: true})
		if err != nil {
			t.Fatal(err)
		}
		return record.Verify(t.Context(), record.NewReplayer(s.store, lock), p)
	}
	lock := s.recorder.Lock()
	if bad := verify(lock); len(bad) != 0 {
		t.Fatal(bad)
	}
	// What an archive of another key says of another package, put in the places of this one's.
	evil := newPublisher(t)
	file := []byte("!<arch>\nan evil package")
	evil.put(debPath, file)
	evil.put(indexPath, packed(t, fmt.Appendf(nil, "Package: tea\nFilename: %s\nSize: %d\nSHA256: %s\n", debPath, len(file), hexSum(file))))
	evil.release(evil.key, "calm", birth.AddDate(0, 0, 9), birth.AddDate(0, 0, 16))
	sum := func(name string) string {
		return name + " sha256:" + hexSum(evil.get(strings.TrimPrefix(name, "archive/")))
	}
	for _, c := range []struct{ name, proof, says string }{
		{debPath, sum("archive/" + indexPath), "signed "},
		{indexPath, sum("archive/" + inRelease), "signed "},
		{inRelease, deb.Fingerprint(evil.key), "unknown entity"},
	} {
		b := evil.get(c.name)
		d, n, err := s.store.Put(t.Context(), bytes.NewReader(b), "", int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(lock.Entries, func(e lockfile.Entry) bool { return e.Key == "archive/"+c.name })
		e := &lock.Entries[i]
		e.Blob, e.Size, e.Proof.Value = d, n, c.proof
		bad := verify(lock)
		if len(bad) == 0 || errs.KindOf(errors.Join(bad...)) != errs.Untrusted || !strings.Contains(errors.Join(bad...).Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, bad, c.says)
		}
	}
}

// TestAnInReleaseThatMoved: signed anew, while the depot has lost the one that is locked.
func TestAnInReleaseThatMoved(t *testing.T) {
	s := newSession(t)
	const inRelease = "dists/calm/InRelease"
	old, err := s.fetch(inRelease)
	if err != nil {
		t.Fatal(err)
	}
	locked := s.recorder.Lock()
	s.release(s.key, "calm", birth.AddDate(0, 0, 10), birth.AddDate(0, 0, 17))
	s.store = recording.Store(t)
	s.restart()
	_, err = s.fetch(inRelease)
	changed := (*record.ChangedError)(nil)
	if !errors.As(err, &changed) || changed.Locked != old.Blob || string(changed.Got) != "sha256:"+hexSum(s.get(inRelease)) {
		t.Errorf("error %v", err)
	}
	if d := lockfile.Diff(locked, s.recorder.Lock()); len(d) != 0 || s.blobs() != 0 {
		t.Errorf("the lock has changed: %v; %d blobs", d, s.blobs())
	}
}
