package repository_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/trust"
	"overland/internal/trust/repository"
	"overland/internal/trust/trusttest"
)

// approval is a repository whose channel/live needs ann and ben, who have their keys elsewhere.
type approval struct {
	*repository.Repository
	ann, ben trust.Signer
	nobody   trust.Signer
}

func newApproval(t *testing.T) approval {
	t.Helper()
	return newApprovalIn(t, trusttest.NewMemory())
}

func newApprovalIn(t *testing.T, files repository.Files) approval {
	t.Helper()
	a := approval{Repository: memory(t, files, trusttest.NewMemoryKeys(), repository.InitOptions{})}
	people := trusttest.NewMemoryKeys()
	for _, p := range []struct {
		name string
		key  *trust.Signer
	}{{"ann", &a.ann}, {"ben", &a.ben}, {"nobody", &a.nobody}} {
		pub, err := people.New(p.name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if *p.key, err = people.ByID(pub.ID); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range []trust.Signer{a.ann, a.ben} {
		if err := a.AddSigner(t.Context(), "channel/live", s.Public(), i+1); err != nil {
			t.Fatal(err)
		}
	}
	waiting(t, a.SetTargets(t.Context(), "channel/live", target("channel/live/wallet")))
	return a
}

func waiting(t *testing.T, err error) {
	t.Helper()
	if errs.KindOf(err) != errs.Partial || !errors.Is(err, repository.ErrStaged) {
		t.Fatalf("got %v, want: staged", err)
	}
}

// staged returns the only change that waits.
func (a approval) staged(t *testing.T) repository.Staged {
	t.Helper()
	now, err := a.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list, err := now.Staged()
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v; want one staged change", list, err)
	}
	return list[0]
}

func (a approval) published(t *testing.T) int {
	t.Helper()
	now, err := a.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(now.Targets("channel/live"))
}

// signature is what a signer elsewhere makes of payload.
func signature(t *testing.T, s trust.Signer, payload []byte) repository.Signature {
	t.Helper()
	sig, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	return repository.Signature{KeyID: s.Public().ID, Sig: sig}
}

// The payload goes out, signatures come in: two of two publish.
func TestSignedElsewhere(t *testing.T) {
	a := newApproval(t)
	st := a.staged(t)
	if st.Want != 2 || st.Have != 0 || len(st.Signers) != 2 || !strings.Contains(string(st.Payload), `"channel/live/wallet"`) {
		t.Fatalf("%+v, payload %s", st, st.Payload)
	}
	waiting(t, a.AddSignature(t.Context(), "channel/live", signature(t, a.ann, st.Payload)))
	waiting(t, a.AddSignature(t.Context(), "channel/live", signature(t, a.ann, st.Payload))) // twice is once
	if st := a.staged(t); st.Have != 1 || a.published(t) != 0 {
		t.Fatalf("%+v, %d published", st, a.published(t))
	}
	if err := a.AddSignature(t.Context(), "channel/live", signature(t, a.ben, st.Payload)); err != nil {
		t.Fatal(err)
	}
	if a.published(t) != 1 {
		t.Error("not published")
	}
	if err := a.AddSignature(t.Context(), "channel/live", signature(t, a.ben, st.Payload)); errs.KindOf(err) != errs.NotFound {
		t.Errorf("%v; want: nothing is staged", err)
	}
}

func TestSignaturesThatAreRefused(t *testing.T) {
	a := newApproval(t)
	st := a.staged(t)
	flipped := signature(t, a.ann, st.Payload)
	flipped.Sig[0] ^= 1
	another := signature(t, a.ann, st.Payload)
	another.KeyID = a.ben.Public().ID
	for name, c := range map[string]struct {
		sig  repository.Signature
		want errs.Kind
	}{
		"not a signer":     {signature(t, a.nobody, st.Payload), errs.Denied},
		"another payload":  {signature(t, a.ann, []byte(`{"evil":true}`)), errs.Untrusted},
		"a flipped bit":    {flipped, errs.Untrusted},
		"empty":            {repository.Signature{KeyID: a.ann.Public().ID}, errs.Untrusted},
		"another's key id": {another, errs.Untrusted},
	} {
		if err := a.AddSignature(t.Context(), "channel/live", c.sig); errs.KindOf(err) != c.want || errs.HintOf(err) == "" {
			t.Errorf("%s: %v; want kind %v and a hint", name, err, c.want)
		}
	}
	if st := a.staged(t); len(st.SignedBy) > 0 {
		t.Errorf("%+v", st)
	}
	// What is staged now is what is signed: a signature over what was withdrawn does not count.
	if err := a.Unstage(t.Context(), "channel/live"); err != nil {
		t.Fatal(err)
	}
	waiting(t, a.SetTargets(t.Context(), "channel/live", target("channel/live/other")))
	if err := a.AddSignature(t.Context(), "channel/live", signature(t, a.ann, st.Payload)); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("%v; want untrusted", err)
	}
}

// What was shown is what the signature is added to: not to another change, signed by the same key, that
// took its place.
func TestASignatureIsAddedToWhatWasShown(t *testing.T) {
	a := newApproval(t)
	shown := a.staged(t)
	waiting(t, a.SetTargets(t.Context(), "channel/live", target("channel/live/other")))
	sig := signature(t, a.ann, a.staged(t).Payload)
	sig.Over = shown.Digest
	if err := a.AddSignature(t.Context(), "channel/live", sig); errs.KindOf(err) != errs.Conflict || errs.HintOf(err) == "" {
		t.Errorf("%v; want conflict and a hint", err)
	}
	if st := a.staged(t); st.Have != 0 {
		t.Errorf("%+v", st)
	}
	sig.Over = a.staged(t).Digest
	waiting(t, a.AddSignature(t.Context(), "channel/live", sig))
}

// A machine that carries a signature approves nothing with keys of its own, and signers
// that are given are the only ones.
func TestSignersThatAreGiven(t *testing.T) {
	a := newApproval(t)
	waiting(t, a.Sign(t.Context(), "channel/live", a.ann))
	if st := a.staged(t); st.Have != 1 || st.SignedBy[0] != a.ann.Public().ID {
		t.Errorf("%+v", st)
	}
	if err := a.Sign(t.Context(), "channel/live", a.nobody); errs.KindOf(err) != errs.Denied {
		t.Errorf("%v; want denied", err)
	}
	if err := a.Sign(t.Context(), "channel/live", a.ben); err != nil || a.published(t) != 1 {
		t.Errorf("%v, %d published", err, a.published(t))
	}
}

// A machine that has one of the two keys itself and is given the other's signature stays at one.
func TestACarrierApprovesNothing(t *testing.T) {
	k := trusttest.NewMemoryKeys()
	r := memory(t, trusttest.NewMemory(), k, repository.InitOptions{})
	a := approval{Repository: r}
	office, err := k.New("office", nil)
	if err != nil {
		t.Fatal(err)
	}
	people := trusttest.NewMemoryKeys()
	pub, err := people.New("ann", nil)
	if err != nil {
		t.Fatal(err)
	}
	ann, err := people.ByID(pub.ID)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range []trust.PublicKey{pub, office} {
		if err := r.AddSigner(t.Context(), "channel/live", p, i+1); err != nil {
			t.Fatal(err)
		}
	}
	waiting(t, r.With(people).SetTargets(t.Context(), "channel/live", target("channel/live/wallet"))) // signed by ann
	if err := r.Unstage(t.Context(), "channel/live"); err != nil {
		t.Fatal(err)
	}
	none := r.With(trusttest.NewMemoryKeys())
	if err := none.SetTargets(t.Context(), "channel/live", target("channel/live/wallet")); errs.KindOf(err) != errs.Denied {
		t.Errorf("proposed without any key: %v", err)
	}
	waiting(t, r.With(without{k, office.ID}).SetTargets(t.Context(), "channel/live", target("channel/live/wallet")))
	waiting(t, r.AddSignature(t.Context(), "channel/live", signature(t, ann, a.staged(t).Payload)))
	if st := a.staged(t); st.Have != 1 || len(st.SignedBy) != 1 {
		t.Errorf("%+v; want ann's signature alone", st)
	}
}

// without is keys, but for one of them.
type without struct {
	repository.Keys
	id string
}

func (w without) ByID(id string) (trust.Signer, error) {
	if id == w.id {
		return nil, nil
	}
	return w.Keys.ByID(id)
}

// A new root is approved the same way.
func TestRootSignedElsewhere(t *testing.T) {
	a := approval{Repository: memory(t, trusttest.NewMemory(), trusttest.NewMemoryKeys(), repository.InitOptions{})}
	people := trusttest.NewMemoryKeys()
	pub, err := people.New("ann", nil)
	if err != nil {
		t.Fatal(err)
	}
	ann, err := people.ByID(pub.ID)
	if err != nil {
		t.Fatal(err)
	}
	waiting(t, a.AddSigner(t.Context(), "root", pub, 2))
	before := a.Fingerprint()
	if err := a.AddSignature(t.Context(), "root", signature(t, ann, a.staged(t).Payload)); err != nil {
		t.Fatal(err)
	}
	now, err := a.Read(t.Context())
	if err != nil || now.Fingerprint() == before {
		t.Errorf("the old root, %v", err)
	}
}

// sealed is a repository whose disk is full when something is to be published.
type sealed struct {
	repository.Files
	full bool
}

func (s *sealed) Commit(ctx context.Context, base repository.Revision, changes []repository.Change) (repository.Revision, error) {
	if s.full && slices.ContainsFunc(changes, func(c repository.Change) bool { return c.Name == "timestamp.json" }) {
		return "", errs.Errorf(errs.Unavailable, "full")
	}
	return s.Files.Commit(ctx, base, changes)
}

// A signature is people's work: it is kept also when what it completes cannot be published.
func TestASignatureOutlivesAFailedPublication(t *testing.T) {
	files := &sealed{Files: trusttest.NewMemory()}
	a := newApprovalIn(t, files)
	st := a.staged(t)
	waiting(t, a.AddSignature(t.Context(), "channel/live", signature(t, a.ann, st.Payload)))
	files.full = true
	if err := a.AddSignature(t.Context(), "channel/live", signature(t, a.ben, st.Payload)); errs.KindOf(err) != errs.Unavailable {
		t.Fatalf("got %v", err)
	}
	if st := a.staged(t); st.Have != 2 || a.published(t) != 0 {
		t.Errorf("%d signatures are kept, %d files published", st.Have, a.published(t))
	}
}

// Another writer that is first does not keep a change from being dropped.
func TestUnstageTriesAgain(t *testing.T) {
	files := &contested{Files: trusttest.NewMemory()}
	a := newApprovalIn(t, files)
	files.first = func() error { return a.SetTargets(t.Context(), "app/wallet", target("app/wallet/1")) }
	files.times = 1
	if err := a.Unstage(t.Context(), "channel/live"); err != nil {
		t.Fatal(err)
	}
	now, err := a.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if list, err := now.Staged(); err != nil || len(list) != 0 || len(now.Targets("app/wallet")) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}

// What is in memory keeps to the limit of the caller, as a file does.
func TestMetadataKeepsToItsLimit(t *testing.T) {
	now, err := newApproval(t).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := now.Metadata(t.Context(), "timestamp.json", trust.MaxTimestamp)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int64]error{int64(len(b)): nil, int64(len(b)) - 1: trust.ErrTooLarge} {
		if _, err := now.Metadata(t.Context(), "timestamp.json", n); !errors.Is(err, want) {
			t.Errorf("at most %d bytes: %v", n, err)
		}
	}
}
