package provenance

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strconv"

	"overland/internal/errs"
	"overland/internal/trust"
)

// The media types of a bundle, and of what its envelope holds.
const (
	BundleType  = "application/vnd.dev.sigstore.bundle.v0.3+json"
	payloadType = "application/vnd.in-toto+json"
)

// Limit is the longest bundle that is read, in bytes.
const Limit = 16 << 20

// bundle is a Sigstore bundle whose signer is known by a key.
type bundle struct {
	MediaType            string   `json:"mediaType"`
	VerificationMaterial material `json:"verificationMaterial"`
	Envelope             envelope `json:"dsseEnvelope"`
}

type material struct {
	PublicKey struct {
		Hint string `json:"hint"`
	} `json:"publicKey"`
}

// envelope is a DSSE envelope. encoding/json writes []byte in the base64 that DSSE asks for.
type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     []byte      `json:"payload"`
	Signatures  []signature `json:"signatures"`
}

// signature has no keyid, which DSSE leaves open: verifiers skip a signature whose keyid is not what they call the key, and
// cosign calls it otherwise than TUF.
type signature struct {
	Sig []byte `json:"sig"`
}

// encoding returns what is signed: DSSE's PAE.
func (e *envelope) encoding() []byte {
	head := "DSSEv1 " + strconv.Itoa(len(e.PayloadType)) + " " + e.PayloadType + " " + strconv.Itoa(len(e.Payload)) + " "
	return append([]byte(head), e.Payload...)
}

// Sign returns s in a bundle that by has signed.
func Sign(s Statement, by trust.Signer) ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	b := bundle{MediaType: BundleType, Envelope: envelope{PayloadType: payloadType, Payload: text}}
	sig, err := by.Sign(b.Envelope.encoding())
	if err != nil {
		return nil, fmt.Errorf("sign provenance: %w", err)
	}
	b.VerificationMaterial.PublicKey.Hint = by.Public().ID
	b.Envelope.Signatures = []signature{{sig}}
	return json.Marshal(b)
}

// Verify returns the statement in the bundle text, and which of keys has signed it. A bundle that none of them has signed is
// an error of kind Untrusted; bytes that are not such a bundle are errs.Invalid.
func Verify(text []byte, keys []trust.PublicKey) (*Statement, trust.PublicKey, error) {
	var b bundle
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, trust.PublicKey{}, errs.E(errs.Invalid, fmt.Errorf("provenance: %w", err))
	}
	if b.MediaType != BundleType || b.Envelope.PayloadType != payloadType || len(b.Envelope.Signatures) != 1 {
		return nil, trust.PublicKey{}, errs.Errorf(errs.Invalid, "provenance: not a bundle of one signed statement")
	}
	for _, k := range keys {
		if len(k.Key) == ed25519.PublicKeySize && ed25519.Verify(k.Key, b.Envelope.encoding(), b.Envelope.Signatures[0].Sig) {
			s, err := parse(b.Envelope.Payload)
			return s, k, err
		}
	}
	return nil, trust.PublicKey{}, errs.Errorf(errs.Untrusted, "provenance: none of the keys that may release has signed it")
}
