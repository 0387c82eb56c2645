package provenance_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"
	"time"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/encoding/protojson"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/provenance"
	"overland/internal/release"
	"overland/internal/store/mem"
	"overland/internal/trust"
)

type signer struct {
	pub  trust.PublicKey
	priv ed25519.PrivateKey
}

func (s signer) Public() trust.PublicKey             { return s.pub }
func (s signer) Sign(message []byte) ([]byte, error) { return ed25519.Sign(s.priv, message), nil }

func newSigner(t *testing.T, seed byte) signer {
	t.Helper()
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	pub, err := trust.NewPublicKey(priv.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return signer{pub, priv}
}

// verifier is a key as the DSSE reference implementation takes it.
type verifier struct{ signer }

func (v verifier) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(v.pub.Key, data, sig) {
		return errs.Errorf(errs.Untrusted, "wrong")
	}
	return nil
}
func (v verifier) KeyID() (string, error)   { return v.pub.ID, nil }
func (v verifier) Public() crypto.PublicKey { return v.pub.Key }

var program = digest.Of([]byte("a program"))

func about() provenance.About {
	return provenance.About{
		Release: &release.Release{
			App: "wallet", Version: "r412.abc", Commit: strings.Repeat("a", 40), CommitTime: time.Unix(1e9, 0), Toolchain: "go1.26.8", Spec: digest.Of([]byte("overland: 1")),
		},
		Repository: strings.Repeat("b", 40), LockDigest: digest.Of([]byte("lock")),
		Lock: lockfile.New([]lockfile.Entry{
			{Protocol: "go", Key: "example.org/tea@v1.0.0.zip", Status: 200, Blob: digest.Of([]byte("zip")), Size: 3, Proof: lockfile.Proof{Kind: "go.sum", Value: "h1:x="}},
			{Protocol: "go", Key: "example.org/none", Status: 404},
		}),
		Builder: provenance.NewBuilder("sha256:"+trust.Fingerprint(strings.Repeat("c", 64)), "r9.fff", "gzip/overland-1"),
	}
}

// What is signed is what the reference implementations of DSSE, in-toto and SLSA read, and says all of it.
func TestOthersReadIt(t *testing.T) {
	by := newSigner(t, 1)
	statement := about().Of("node", "linux/arm/v6", "full", provenance.SubjectOf("node", program))
	text, err := provenance.Sign(statement, by)
	if err != nil {
		t.Fatal(err)
	}
	var bundle struct {
		MediaType string        `json:"mediaType"`
		Envelope  dsse.Envelope `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(text, &bundle); err != nil {
		t.Fatal(err)
	}
	checker, err := dsse.NewEnvelopeVerifier(verifier{by})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checker.Verify(t.Context(), &bundle.Envelope); err != nil {
		t.Errorf("the reference implementation of DSSE: %v", err)
	}
	payload, err := bundle.Envelope.DecodeB64Payload()
	if err != nil {
		t.Fatal(err)
	}
	var s intoto.Statement
	if err := protojson.Unmarshal(payload, &s); err != nil || s.Validate() != nil {
		t.Fatalf("in-toto: %v, %v", err, s.Validate())
	}
	predicate, err := protojson.Marshal(s.GetPredicate())
	if err != nil {
		t.Fatal(err)
	}
	var p slsa.Provenance
	if err := protojson.Unmarshal(predicate, &p); err != nil || p.Validate() != nil {
		t.Fatalf("SLSA: %v, %v", err, p.Validate())
	}
	if got := p.GetRunDetails().GetBuilder().GetVersion(); got["deflate"] != "gzip/overland-1" || got["overland"] != "r9.fff" {
		t.Errorf("builder %v", got)
	}
	read := p.GetBuildDefinition().GetResolvedDependencies()
	const inputs = 4 // source, overland.yaml, overland.lock, one of its entries: the other one is that there is nothing
	if len(read) != inputs || read[0].GetDigest()["gitCommit"] != strings.Repeat("a", 40) || read[3].GetName() != "go example.org/tea@v1.0.0.zip" {
		t.Errorf("inputs %v", read)
	}
	again, err := provenance.Sign(statement, by)
	if err != nil || !bytes.Equal(again, text) {
		t.Errorf("signed again it is something else: %v", err)
	}
}

// Only one of the keys that are given is believed, and only about what it has signed.
func TestWhatOthersHaveSigned(t *testing.T) {
	ours, other := newSigner(t, 1), newSigner(t, 2)
	keys := []trust.PublicKey{other.pub, ours.pub}
	text, err := provenance.Sign(about().Of("node", "linux/amd64", "", provenance.SubjectOf("node", program)), ours)
	if err != nil {
		t.Fatal(err)
	}
	s, key, err := provenance.Verify(text, keys)
	if err != nil || key.ID != ours.pub.ID || !s.Covers(program) || s.Covers(digest.Of(nil)) {
		t.Fatalf("%v, signed by %s: %v", s, key.ID, err)
	}
	if _, _, err := provenance.Verify(text, keys[:1]); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("a key that may not: %v", err)
	}
	foreign, err := provenance.Sign(provenance.Statement{Type: provenance.StatementType, PredicateType: "https://example.org/other"}, ours)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]struct {
		text string
		kind errs.Kind
	}{
		"another statement under the signature": {strings.Replace(string(text), `"payload":"e`, `"payload":"f`, 1), errs.Untrusted},
		"another type":                          {strings.Replace(string(text), "application/vnd.in-toto+json", "application/json", 1), errs.Invalid},
		"no bundle":                             {"{}", errs.Invalid},
		"not JSON":                              {"bundle", errs.Invalid},
		"two signatures":                        {strings.Replace(string(text), `"signatures":[`, `"signatures":[{},`, 1), errs.Invalid},
		"something else":                        {string(foreign), errs.Invalid},
	} {
		if _, _, err := provenance.Verify([]byte(bad.text), keys); errs.KindOf(err) != bad.kind {
			t.Errorf("%s: %v, want %v", name, err, bad.kind)
		}
	}
}

// A lock that is longer than what a statement may carry stands for itself.
func TestALongLock(t *testing.T) {
	a := about()
	for i := range 5001 {
		a.Lock.Entries = append(a.Lock.Entries, lockfile.Entry{Protocol: "npm", Key: strings.Repeat("k", i+1), Status: 200, Blob: program})
	}
	s := a.Of("node", "linux/amd64", "")
	if d := s.Predicate.BuildDefinition.ResolvedDependencies; len(d) != 3 || d[2].Name != lockfile.Name {
		t.Errorf("%d inputs", len(d))
	}
}

func TestBundlesInADepot(t *testing.T) {
	var s mem.Store
	ref := release.Ref{App: "wallet", Version: "r412.abc"}
	if _, err := provenance.Read(t.Context(), &s, ref); errs.KindOf(err) != errs.NotFound {
		t.Errorf("none: %v", err)
	}
	subject := provenance.Made{Artifact: "node", Platform: "linux/arm/v6", Bundle: []byte("{}")}
	subject.Subject.Digest, subject.Subject.Size, subject.Subject.MediaType = program, 9, "application/vnd.oci.image.manifest.v1+json"
	whole := subject
	whole.Platform, whole.Bundle = "", []byte("{ }")
	if err := provenance.Write(t.Context(), &s, ref, []provenance.Made{subject, whole}); err != nil {
		t.Fatal(err)
	}
	got, err := provenance.Read(t.Context(), &s, ref)
	if err != nil || len(got) != 2 || got[0].Platform != "linux/arm/v6" || got[1].Platform != "" || string(got[1].Bundle) != "{ }" || got[0].Subject.Digest != program {
		t.Errorf("%v, %v", got, err)
	}
	if of, ok := release.TagRef(release.ProvenanceTag(ref)); !ok || of != ref {
		t.Error("a collection would keep it for ever")
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, _, err := provenance.Verify(text, nil); err == nil || errs.KindOf(err) != errs.Invalid && errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%v", err)
		}
	})
}

// A statement about another commit than the release's is not about that release, whoever signed it.
func TestAStatementIsOfItsRelease(t *testing.T) {
	a := about()
	for what, test := range map[string]struct {
		change func(s *provenance.Statement)
		fine   bool
	}{
		"as it is":     {func(*provenance.Statement) {}, true},
		"another site": {func(s *provenance.Statement) { s.Predicate.RunDetails.Builder.Version = nil }, true},
		"another lock": {func(s *provenance.Statement) { s.Predicate.BuildDefinition.ResolvedDependencies[2].Digest = nil }, true}, // its release names that alone
		"another commit": {func(s *provenance.Statement) {
			s.Predicate.BuildDefinition.ResolvedDependencies[0].Digest = map[string]string{"gitCommit": strings.Repeat("c", 40)}
		}, false},
		"another yaml": {func(s *provenance.Statement) { s.Predicate.BuildDefinition.ResolvedDependencies[1].Digest = nil }, false},
		"no commit": {func(s *provenance.Statement) {
			s.Predicate.BuildDefinition.ResolvedDependencies = s.Predicate.BuildDefinition.ResolvedDependencies[1:]
		}, false},
		"two commits": {func(s *provenance.Statement) {
			d := &s.Predicate.BuildDefinition.ResolvedDependencies
			*d = append(*d, provenance.Resource{Name: "source"})
		}, false},
		"another artifact": {func(s *provenance.Statement) { s.Predicate.BuildDefinition.ExternalParameters.Artifact = "x" }, false},
		"another version":  {func(s *provenance.Statement) { s.Predicate.BuildDefinition.ExternalParameters.Version = "r1.a" }, false},
		"more isolation":   {func(s *provenance.Statement) { s.Predicate.BuildDefinition.InternalParameters.Isolation = "full" }, false},
		"another kind":     {func(s *provenance.Statement) { s.Predicate.BuildDefinition.BuildType = "x" }, false},
	} {
		s := a.Of("node", "linux/amd64", "none", provenance.SubjectOf("node", program))
		test.change(&s)
		if s.IsOf(a.Release, "node", "linux/amd64", "none") != test.fine {
			t.Errorf("%s: %v", what, !test.fine)
		}
	}
}
