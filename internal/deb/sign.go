package deb

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha1" // what fingerprints of OpenPGP are
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"overland/internal/errs"
)

// Signer signs as an archive does: an ed25519 key as OpenPGP has it (RFC 9580, version 4). What it writes depends on
// nothing but its key, its name and what it is given.
type Signer struct {
	Key  ed25519.PublicKey
	Name string                               // of the key: "Wallet archive <wallet@example.org>"
	Sign func(message []byte) ([]byte, error) // the ed25519 signature of message
}

// Numbers of OpenPGP.
const (
	tagSignature, tagPublicKey, tagUserID = 2, 6, 13
	typeText, typeCertification           = 0x01, 0x13
	eddsa, hashSHA512                     = 22, 10
	subTime, subIssuer, subFlags          = 2, 33, 27
	mayCertifyAndSign                     = 0x03
)

// keyBirth is when every key says that it was made: the fingerprint depends on it, and the key does not know it.
var keyBirth = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// ed25519OID names the curve.
var ed25519OID = []byte{0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01}

// PublicKey returns the key in armour, as apt's Signed-By takes it.
func (s Signer) PublicKey() ([]byte, error) {
	uid := []byte(s.Name)
	text := concat(s.hashed(), []byte{0xb4}, be32(len(uid)), uid)
	sig, err := s.signature(typeCertification, keyBirth, text, concat([]byte{2, subFlags, mayCertifyAndSign}))
	if err != nil {
		return nil, err
	}
	return armour("PUBLIC KEY BLOCK", concat(packetOf(tagPublicKey, s.packet()), packetOf(tagUserID, uid), packetOf(tagSignature, sig))), nil
}

// Fingerprint returns the fingerprint of the key in upper-case hex digits.
func (s Signer) Fingerprint() string { return fmt.Sprintf("%X", s.fingerprint()) }

// ClearSign returns text, signed at that time, as a whole InRelease. It has to be lines, the last one ended.
func (s Signer) ClearSign(text string, at time.Time) ([]byte, error) {
	if !strings.HasSuffix(text, "\n") || strings.ContainsRune(text, '\r') {
		return nil, errs.Errorf(errs.Invalid, "a text to sign that is not whole lines")
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	var out, signed strings.Builder
	out.WriteString("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "-") {
			out.WriteString("- ")
		}
		out.WriteString(line + "\n")
		if i > 0 {
			signed.WriteString("\r\n")
		}
		signed.WriteString(strings.TrimRight(line, " \t"))
	}
	sig, err := s.signature(typeText, at, []byte(signed.String()), nil)
	if err != nil {
		return nil, err
	}
	out.Write(armour("SIGNATURE", packetOf(tagSignature, sig)))
	return []byte(out.String()), nil
}

// packet returns the body of the packet of the key.
func (s Signer) packet() []byte {
	point := append([]byte{0x40}, s.Key...) // as it is
	return concat([]byte{4}, be32(int(keyBirth.Unix())), []byte{eddsa, byte(len(ed25519OID))}, ed25519OID, integer(point))
}

// hashed returns the key as it is hashed.
func (s Signer) hashed() []byte {
	body := s.packet()
	return concat([]byte{0x99}, be16(len(body)), body)
}

func (s Signer) fingerprint() []byte {
	sum := sha1.Sum(s.hashed())
	return sum[:]
}

// signature returns the body of the packet of a signature over text, with more subpackets.
func (s Signer) signature(kind byte, at time.Time, text, more []byte) ([]byte, error) {
	id := s.fingerprint()
	sub := concat([]byte{5, subTime}, be32(int(at.Unix())), []byte{byte(len(id) + 2), subIssuer, 4}, id, more)
	head := concat([]byte{4, kind, eddsa, hashSHA512}, be16(len(sub)), sub)
	sum := sha512.Sum512(concat(text, head, []byte{4, 0xff}, be32(len(head))))
	sig, err := s.Sign(sum[:])
	if err != nil {
		return nil, err
	}
	if len(sig) != ed25519.SignatureSize || !ed25519.Verify(s.Key, sum[:], sig) {
		return nil, errs.Errorf(errs.Internal, "a signature that is not one of its key")
	}
	const half = ed25519.SignatureSize / 2
	const idDigits, issuer = 8, 16
	unhashed := concat([]byte{idDigits + 1, issuer}, id[len(id)-idDigits:]) // for older programs
	return concat(head, be16(len(unhashed)), unhashed, sum[:2], integer(sig[:half]), integer(sig[half:])), nil
}

// packetOf returns a packet with that body, which is shorter than 8384 bytes.
func packetOf(tag byte, body []byte) []byte {
	const one = 192 // lengths below take one byte
	n := len(body)
	if n < one {
		return concat([]byte{0xc0 | tag, byte(n)}, body)
	}
	n -= one
	return concat([]byte{0xc0 | tag, byte(n>>8) + one, byte(n)}, body)
}

// integer returns b as OpenPGP writes integers: its length in bits, and no zeros in front.
func integer(b []byte) []byte {
	b = bytes.TrimLeft(b, "\x00")
	if len(b) == 0 {
		return be16(0)
	}
	return concat(be16(len(b)*8-bits.LeadingZeros8(b[0])), b)
}

func be16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func be32(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

func concat(list ...[]byte) []byte { return bytes.Join(list, nil) }

// armour returns b in ASCII armour (RFC 9580 §6), with the checksum that older programs ask for.
func armour(kind string, b []byte) []byte {
	const width, crcInit, crcPoly = 64, 0xb704ce, 0x1864cfb
	crc := uint32(crcInit)
	for _, c := range b {
		crc ^= uint32(c) << 16
		for range 8 {
			if crc <<= 1; crc&0x1000000 != 0 {
				crc ^= crcPoly
			}
		}
	}
	var out bytes.Buffer
	out.WriteString("-----BEGIN PGP " + kind + "-----\n\n")
	for text := base64.StdEncoding.EncodeToString(b); text != ""; {
		n := min(width, len(text))
		out.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	out.WriteString("=" + base64.StdEncoding.EncodeToString([]byte{byte(crc >> 16), byte(crc >> 8), byte(crc)}) + "\n")
	out.WriteString("-----END PGP " + kind + "-----\n")
	return out.Bytes()
}
