package repository

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
	"overland/internal/trust/keys"
)

// twoSigners is a site whose channel/live needs ann and ben.
func twoSigners(t *testing.T) *site {
	t.Helper()
	s := newSite(t, InitOptions{})
	for i, name := range []string{"ann", "ben"} {
		if err := s.AddSigner(t.Context(), "channel/live", s.newKey(name), i+1); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// staged puts what change makes of the change of channel/live that ann proposed into its place, signed by her.
func (s *site) staged(ann *site, change func(*trust.TargetsMetadata)) {
	s.t.Helper()
	if err := ann.SetTargets(s.t.Context(), "channel/live", put("channel/live/wallet", "r1")); !errors.Is(err, ErrStaged) {
		s.t.Fatal(err)
	}
	parse := func(b []byte) (*trust.TargetsMetadata, error) { return trust.ParseTargets(b, "channel/live") }
	stagedBy(s.t, s, ann, trust.WireName("channel/live", s.state().Version("channel/live")+1), parse, change)
}

// What a signer staged is another change than the same one made here when it is signed for a later day, or
// valid for longer, or for a much shorter time: neither gets ben's signature with the words that ben has said.
func TestAnotherLifetimeIsAnotherChange(t *testing.T) {
	for name, change := range map[string]func(*trust.TargetsMetadata){
		"signed tomorrow": func(m *trust.TargetsMetadata) {
			m.Signed.UnrecognizedFields = stamp(m.Signed.UnrecognizedFields, day0.Add(2*time.Hour))
		},
		"valid for longer": func(m *trust.TargetsMetadata) { m.Signed.Expires = day0.Add(399 * day) },
		"valid for a day":  func(m *trust.TargetsMetadata) { m.Signed.Expires = day0.Add(day) },
	} {
		s := twoSigners(t)
		ann, ben := s.machine("ann"), s.machine("ben", "online")
		s.staged(ann, change)
		if list, err := s.state().Staged(); err != nil || len(list) != 1 || list[0].Have != 1 {
			t.Fatalf("%s: %+v, %v", name, list, err)
		}
		err := ben.SetTargets(t.Context(), "channel/live", put("channel/live/wallet", "r1"))
		if !errors.Is(err, ErrStaged) || !strings.Contains(err.Error(), "takes the place") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A change that would be valid for longer than nodes accept is not offered, though one of its signers has signed it.
func TestAChangeForTenYearsIsNotOffered(t *testing.T) {
	s := twoSigners(t)
	s.staged(s.machine("ann"), func(m *trust.TargetsMetadata) { m.Signed.Expires = day0.Add(3650 * day) })
	refuses(t, s, s.machine("ben", "online"), "channel/live")
}

// A root that turns consistent snapshots off is not offered either: nodes would load other files.
func TestARootWithoutConsistentSnapshotsIsNotOffered(t *testing.T) {
	s := newSite(t, InitOptions{})
	if err := s.AddSigner(t.Context(), metadata.ROOT, s.newKey("ben"), 2); err != nil {
		t.Fatal(err)
	}
	evil := s.machine("root", "targets", "online")
	if err := evil.AddSigner(t.Context(), metadata.ROOT, s.newKey("cem"), 0); !errors.Is(err, ErrStaged) {
		t.Fatal(err)
	}
	stagedBy(t, s, evil, trust.WireName(metadata.ROOT, 3), trust.ParseRoot, func(m *trust.RootMetadata) { m.Signed.ConsistentSnapshot = false })
	refuses(t, s, s.machine("ben", "online"), metadata.ROOT)
}

// A file of one version under the name of another would leave a gap in the chain that nodes walk.
func TestAStagedFileHasTheVersionOfItsName(t *testing.T) {
	s := twoSigners(t)
	s.staged(s.machine("ann"), func(m *trust.TargetsMetadata) { m.Signed.Version++ })
	if err := s.machine("ben", "online").Sign(t.Context(), "channel/live"); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "in the file of") {
		t.Errorf("%v", err)
	}
	if err := s.Unstage(t.Context(), "channel/live"); err != nil {
		t.Fatal(err)
	}
	root := s.machine("root", "targets", "online")
	if err := root.AddSigner(t.Context(), metadata.ROOT, publicOf(t, s, "ben"), 2); !errors.Is(err, ErrStaged) {
		t.Fatal(err)
	}
	stagedBy(t, s, root, trust.WireName(metadata.ROOT, 2), trust.ParseRoot, func(m *trust.RootMetadata) { m.Signed.Version++ })
	for _, err := range []error{
		s.machine("ben", "online").Sign(t.Context(), metadata.ROOT),
		s.AddSigner(t.Context(), metadata.ROOT, publicOf(t, s, "ben"), 2), // nor is it overwritten in passing
	} {
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "in the file of") {
			t.Errorf("root: %v", err)
		}
	}
}

// What waits and cannot be read stops a change of the same role: it may bear people's signatures.
func TestADamagedStagedFileIsNotOverwritten(t *testing.T) {
	s := twoSigners(t)
	ann := s.machine("ann")
	if err := ann.SetTargets(t.Context(), "channel/live", put("channel/live/wallet", "r1")); !errors.Is(err, ErrStaged) {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, StagedDir, trust.WireName("channel/live", s.state().Version("channel/live")+1))
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := ann.SetTargets(t.Context(), "channel/live", put("channel/live/wallet", "r2"))
	if err == nil || errors.Is(err, ErrStaged) || !strings.Contains(errs.HintOf(err), "unstage channel/live") {
		t.Errorf("%v", err)
	}
}

// A second change of targets does not take the place of the first, and is not taken for it.
func TestAnotherChangeOfTargetsWaitsItsTurn(t *testing.T) {
	s := newSite(t, InitOptions{})
	if err := s.AddSigner(t.Context(), metadata.TARGETS, s.newKey("ben"), 2); err != nil {
		t.Fatal(err)
	}
	office := s.machine("targets", "online")
	if err := office.AddSigner(t.Context(), "channel/live", s.newKey("ann"), 0); !errors.Is(err, ErrStaged) {
		t.Fatal(err)
	}
	before := tree(t, s.dir)
	if err := office.AddSigner(t.Context(), "channel/live", s.newKey("cem"), 0); errs.KindOf(err) != errs.Conflict || errs.HintOf(err) == "" {
		t.Fatalf("%v", err)
	}
	if after := tree(t, s.dir); len(after) != len(before) {
		t.Errorf("%v", after)
	}
}

// The old root's threshold counts too: one of two cannot make a root that one alone signs.
func TestOneRootSignerCannotLowerTheThreshold(t *testing.T) {
	s := newSite(t, InitOptions{RootKeys: []string{"root-a", "root-b"}, Threshold: 2})
	a := s.machine("root-a", "targets", "online")
	b := publicOf(t, s, "root-b")
	if err := a.RemoveSigner(t.Context(), metadata.ROOT, b.ID, 1); !errors.Is(err, ErrStaged) {
		t.Errorf("%v", err)
	}
	if now := s.state(); now.root.Signed.Version != 1 {
		t.Errorf("root %d is published", now.root.Signed.Version)
	}
	if err := s.machine("root-b", "online", "targets").Sign(t.Context(), metadata.ROOT); err != nil {
		t.Fatal(err)
	}
	// What was published no longer waits.
	if names := tree(t, s.dir); names[StagedDir+trust.WireName(metadata.ROOT, 2)] {
		t.Error("root 2 is still staged")
	}
}

// The signatures of those whom the new root names count for what they are, and how many it will take is told.
func TestWhoSignsAComingRootIsCounted(t *testing.T) {
	s := newSite(t, InitOptions{RootKeys: []string{"root-a", "root-b"}, Threshold: 1})
	ann := s.newKey("ann")
	a := s.machine("root-a", "targets", "online")
	if err := a.AddSigner(t.Context(), metadata.ROOT, ann, 3); !errors.Is(err, ErrStaged) {
		t.Fatal(err)
	}
	if err := s.machine("ann").Sign(t.Context(), metadata.ROOT); !errors.Is(err, ErrStaged) {
		t.Fatal(err)
	}
	list, err := s.state().Staged()
	if err != nil || len(list) != 1 || list[0].Want != 3 || list[0].Have != 2 || !slices.Contains(list[0].SignedBy, ann.ID) {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := s.machine("root-b", "online", "targets").Sign(t.Context(), metadata.ROOT); err != nil {
		t.Errorf("three of three: %v", err)
	}
}

// A root is not published where the roles that it gives to other keys could not be signed by these.
func TestARootThatLeavesNothingSignedIsNotPublished(t *testing.T) {
	s := newSite(t, InitOptions{})
	other := s.newKey("other")
	err := s.machine("root", "targets", "online").AddSigner(t.Context(), metadata.TIMESTAMP, other, 2)
	if errs.KindOf(err) != errs.Denied || !strings.Contains(err.Error(), "signed anew by 2 of its keys, and 1") {
		t.Error(err)
	}
	if s.state().root.Signed.Version != 1 {
		t.Error("it is published")
	}
}

// A proposal is made with a key that the published metadata names, and first with one for which nobody is asked.
func TestWithWhichKeyAChangeIsProposed(t *testing.T) {
	s := twoSigners(t)
	s.newKey("zed")
	for _, m := range []*site{s.machine("zed"), s.machine("zed", "ann")} {
		_ = os.Remove(filepath.Join(m.keyDir, "ann.key"))
		if err := m.SetTargets(t.Context(), "channel/live", put("channel/live/wallet", "r1")); errs.KindOf(err) != errs.Denied {
			t.Errorf("proposed with a key that nobody knows: %v", err)
		}
	}
	// The signature of one whom only the coming root names is not one either.
	if err := s.machine("zed").AddSigner(t.Context(), metadata.ROOT, publicOf(t, s, "zed"), 0); errs.KindOf(err) != errs.Denied {
		t.Errorf("zed proposed himself: %v", err)
	}
	office := s.machine("online", "targets")
	const work = 10
	if err := openKeys(t, office.keyDir, keys.Options{Work: work}).Relock("online", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	asked := 0
	asking := office.keys.Asking(keys.Asks{Passphrase: func(string) ([]byte, error) { asked++; return []byte("secret"), nil }})
	if err := office.With(asking).SetTargets(t.Context(), "channel/live", put("channel/live/wallet", "r1")); !errors.Is(err, ErrStaged) || asked > 0 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}

// A key that signs for nothing any more is forgotten, so that it does not put words before signers.
func TestAKeyThatSignsNothingIsForgotten(t *testing.T) {
	s := twoSigners(t)
	cem := s.newKey("cem")
	if err := s.AddSigner(t.Context(), "channel/live", cem, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveSigner(t.Context(), "channel/live", cem.ID, 0); err != nil {
		t.Fatal(err)
	}
	if s.state().known(nil)[cem.ID] != nil {
		t.Error("a key that was taken from the channel is known still")
	}
	ann := publicOf(t, s, "ann")
	if _, err := s.RotateKey(t.Context(), "ann", nil); err != nil {
		t.Fatal(err)
	}
	if s.state().known(nil)[ann.ID] != nil {
		t.Error("a key that was rotated away is known still")
	}
}

// Machines' keys are no persons: those that sign targets, snapshot and timestamp whatever they are called here, and
// those by which a machine of its own signs, whatever they sign.
func TestEveryKeyOfAMachineIsNoPerson(t *testing.T) {
	s := newSite(t, InitOptions{})
	for _, name := range []string{KeyPromote, KeyRelease, KeyTargets, KeyOnline} {
		pub, err := havingKey(s.keys, name)
		if err == nil {
			err = s.AddSigner(t.Context(), "channel/live", pub, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ann, ben := s.newKey("ann"), s.newKey("ben")
	if err := s.AddSigner(t.Context(), "channel/live", ann, 0); err != nil {
		t.Fatal(err)
	}
	err := s.AddSigner(t.Context(), "channel/live", ann, 2)
	if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "people") {
		t.Fatalf("%v", err)
	}
	away := s.machine("targets", "online", "ann", "ben")
	away.rename("targets", "t")
	away.rename("online", "o")
	for name, m := range map[string]*site{"here": s, "where the keys have other names": away} {
		var left []string
		err := m.changeSigners(t.Context(), "channel/live", trust.PublicKey{}, func(now *State, ids *[]string, _ *int, _ map[string]*metadata.Key) error {
			left = append(slices.Clone(*ids), ben.ID)
			if err := m.countPersons(now, "channel/live", &left, 2); err != nil {
				return err
			}
			return errCrash // only what is counted matters
		})
		if !errors.Is(err, errCrash) {
			t.Fatalf("%s: %v", name, err)
		}
		for _, key := range []string{KeyTargets, KeyOnline} {
			if slices.Contains(left, publicOf(t, s, key).ID) {
				t.Errorf("%s: %s counts as a person", name, key)
			}
		}
		if m == s && len(left) != 2 {
			t.Errorf("%s: %v count as persons; want ann and ben", name, left)
		}
	}
}

// rename gives the key name another name on this machine.
func (s *site) rename(name, to string) {
	s.t.Helper()
	for _, ext := range []string{".key", ".pub"} {
		if err := os.Rename(filepath.Join(s.keyDir, name+ext), filepath.Join(s.keyDir, to+ext)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Check says what a node would: signed as targets demands, not expired, and there.
func TestCheckSaysWhatANodeWould(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.release("wallet", "r1")
	now := s.state()
	end := now.roles["app/wallet"].Signed.Expires
	if err := now.Check("app/wallet", end.Add(-time.Second)); err != nil {
		t.Error(err)
	}
	if err := now.Check("app/wallet", end); !errors.Is(err, trust.ErrExpired) {
		t.Errorf("at its end: %v", err)
	}
	if err := now.Check("app/other", day0); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("what says nothing: %v", err)
	}
	forged := signable(now.roles["app/wallet"])
	forged.Signatures[0].Signature = make([]byte, 64)
	if err := now.with(map[string]*trust.TargetsMetadata{"app/wallet": forged}).Check("app/wallet", day0); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("forged: %v", err)
	}
}

// What is published is signed as its delegator demands, whoever asks for it.
func TestNothingIsPublishedUnsigned(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.release("wallet", "r1")
	err := s.attempt(t.Context(), s.state(), func(t *tx) error {
		m := t.next(t.s.roles["app/wallet"])
		m.Signatures = []metadata.Signature{{KeyID: t.s.roles["app/wallet"].Signatures[0].KeyID, Signature: make([]byte, 64)}}
		return t.publish(map[string]*trust.TargetsMetadata{"app/wallet": m}, nil)
	})
	if errs.KindOf(err) != errs.Untrusted || s.state().Version("app/wallet") != 1 {
		t.Errorf("version %d, %v", s.state().Version("app/wallet"), err)
	}
}

// What holds is what the commit mark names: byte for byte, and nothing that a cut-off change left.
func TestWhatTheCommitMarkNames(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.release("wallet", "r1")
	file := filepath.Join(s.dir, trust.WireName("app/wallet", 1))
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, trust.WireName("app/wallet", 9)), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := s.History("app/wallet"); err != nil || len(list) != 1 || list[0].Version != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if err := os.WriteFile(file, append(b, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), s.files, s.keys, Options{}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("other bytes: %v", err)
	}
}

// Refresh signs for nobody: not one of two root signers' part alone, and not over what waits.
func TestRefreshLeavesToPeopleWhatIsTheirs(t *testing.T) {
	s := newSite(t, InitOptions{RootKeys: []string{"root-a", "root-b"}, Threshold: 2})
	for i, name := range []string{"ann", "ben"} {
		if err := s.AddSigner(t.Context(), "channel/live", s.newKey(name), i+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetTargets(t.Context(), "channel/live", put("channel/live/wallet", "r0")); err != nil {
		t.Fatal(err)
	}
	s.now = day0.Add(300 * day)
	ann := s.machine("ann")
	if err := ann.SetTargets(t.Context(), "channel/live", put("channel/live/wallet", "r1")); !errors.Is(err, ErrStaged) {
		t.Fatal(err)
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	if list, err := s.state().Staged(); err != nil || len(list) != 1 || list[0].Role != "channel/live" {
		t.Errorf("%+v, %v", list, err)
	}
	s.now = day0.Add(600 * day)
	a := s.machine("root-a", "targets", "online")
	_ = a.Refresh(t.Context())
	if list, err := s.state().Staged(); err != nil || slices.ContainsFunc(list, func(st Staged) bool { return st.Role == metadata.ROOT }) {
		t.Errorf("%+v, %v", list, err)
	}
}

// The first root is signed by as many as it says.
func TestInitWithoutARootKey(t *testing.T) {
	from := newSite(t, InitOptions{})
	k := openKeys(t, filepath.Join(t.TempDir(), "keys"), keys.Options{})
	if err := k.Import("root-b", publicOf(t, from, KeyRoot)); err != nil {
		t.Fatal(err)
	}
	_, err := Init(t.Context(), Dir(filepath.Join(t.TempDir(), "trust"), fsx.FS{}), k, InitOptions{RootKeys: []string{"root-a", "root-b"}, Threshold: 2})
	if errs.KindOf(err) != errs.Denied || errs.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
}

// A name of metadata is that of a file in the folder, and of no other.
func TestNamesThatLeaveTheFolder(t *testing.T) {
	s := newSite(t, InitOptions{})
	outside := filepath.Join(filepath.Dir(s.dir), "x.json")
	if err := os.Mkdir(filepath.Join(s.dir, StagedDir), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		outside, filepath.Join(s.dir, ".hidden.json"), filepath.Join(s.dir, "plain"), filepath.Join(s.dir, StagedDir, "1.root.json"),
	} {
		if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := s.files
	_, rev, err := files.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../x.json", StagedDir + "../../x.json", ".hidden.json", "plain", "a\x00.json"} {
		if _, err := files.Read(t.Context(), name, 100); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q is read: %v", name, err)
		}
		if _, err := files.Commit(t.Context(), rev, []Change{{Name: name, Data: []byte("evil")}}); errs.KindOf(err) != errs.Internal {
			t.Errorf("%q is written: %v", name, err)
		}
		if _, err := s.Metadata(t.Context(), name, 100); err == nil {
			t.Errorf("%q is served", name)
		}
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "{}" {
		t.Errorf("%q, %v", b, err)
	}
	// What waits for signatures is not metadata for nodes.
	if _, err := s.state().Metadata(t.Context(), StagedDir+"1.root.json", 100); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
