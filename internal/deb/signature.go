package deb

import (
	"bytes"
	"cmp"
	"crypto"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"overland/internal/errs"
)

const signatureLimit = 32 // signatures of one InRelease; archives that change keys have three

// VerifyInRelease returns the text that is signed in b and the Fingerprint of the key that signed
// it. Exactly one clear-signed message must fill b. Anything but a good signature by one of keys at
// now is errs.Untrusted, and so is one with a hash weaker than SHA256. A zero now stands for the
// time at which each signature says it was made.
func VerifyInRelease(b []byte, keys openpgp.EntityList, now time.Time) ([]byte, string, error) {
	if !bytes.HasPrefix(b, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return nil, "", errs.Errorf(errs.Untrusted, "not a clear-signed message")
	}
	block, rest := clearsign.Decode(b)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, "", errs.Errorf(errs.Untrusted, "not exactly one clear-signed message")
	}
	signer, err := verify(block.Bytes, block.ArmoredSignature.Body, keys, now)
	if err != nil {
		return nil, "", errs.E(errs.Untrusted, fmt.Errorf("signature: %w", err))
	}
	return block.Plaintext, Fingerprint(signer), nil
}

// SignedText returns the text of the clear-signed message b without verifying its signature: for an
// InRelease that was verified when it was stored. errs.Untrusted when b is not one.
func SignedText(b []byte) ([]byte, error) {
	block, _ := clearsign.Decode(b)
	if block == nil {
		return nil, errs.Errorf(errs.Untrusted, "not a clear-signed message")
	}
	return block.Plaintext, nil
}

// verify returns the first of keys that made one of the signatures of text. Each is verified on its
// own: a bad one beside a good one, as while an archive changes its keys, does no harm. Weak hashes
// are refused here: the library takes them.
func verify(text []byte, signatures io.Reader, keys openpgp.EntityList, now time.Time) (*openpgp.Entity, error) {
	var why error // the first problem with a signature by a key that is known
	packets := packet.NewReader(signatures)
	for range signatureLimit {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) {
			return nil, cmp.Or[error](why, pgperrors.ErrUnknownIssuer)
		}
		if err != nil {
			return nil, err
		}
		sig, ok := p.(*packet.Signature)
		if !ok {
			return nil, errors.New("something else among the signatures")
		}
		signer, err := verifyOne(text, sig, keys, now)
		if err == nil {
			return signer, nil
		}
		if !errors.Is(err, pgperrors.ErrUnknownIssuer) {
			why = cmp.Or(why, err)
		}
	}
	return nil, fmt.Errorf("more than %d of them", signatureLimit)
}

func verifyOne(text []byte, sig *packet.Signature, keys openpgp.EntityList, now time.Time) (*openpgp.Entity, error) {
	switch sig.Hash {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512:
	default:
		return nil, fmt.Errorf("made with the weak hash %s", sig.Hash)
	}
	var one bytes.Buffer
	if err := sig.Serialize(&one); err != nil {
		return nil, err
	}
	if now.IsZero() {
		now = sig.CreationTime
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	return openpgp.CheckDetachedSignature(keys, bytes.NewReader(text), &one, config)
}
