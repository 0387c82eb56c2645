package pack

import (
	"bytes"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"overland/internal/clock"
)

// OpenPGP returns a new key of a Debian archive, made at that time.
func OpenPGP(made time.Time) *openpgp.Entity {
	e, err := openpgp.NewEntity("archive", "", "archive@invalid", &packet.Config{Time: clock.At(made), Algorithm: packet.PubKeyAlgoEdDSA})
	must(err)
	return e
}

// Armour returns the public half of e in ASCII armour.
func Armour(e *openpgp.Entity) string {
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	must(err)
	must(e.Serialize(w))
	must(w.Close())
	return b.String()
}

// ClearSign returns text as a message that key signed, as an InRelease is.
func ClearSign(key *openpgp.Entity, text string, config *packet.Config) []byte {
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, key.PrivateKey, config)
	must(err)
	_, err = io.WriteString(w, text)
	must(err)
	must(w.Close())
	return b.Bytes()
}
