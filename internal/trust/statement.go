package trust

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"overland/internal/errs"
)

// Statement is what one file of metadata says of itself. Its signatures are not verified.
type Statement struct {
	Type     string // "root", "timestamp", "snapshot", "targets"
	Role     string // "app/wallet"; the type for the four top-level roles
	Version  int64
	Expires  time.Time
	SignedAt time.Time // zero when it does not say
	KeyIDs   []string  // of those that are said to have signed
}

// ReadStatement reads the metadata in b, whose name on the wire is name
// ("3.app%2Fwallet.json"). Errors are of kind Untrusted.
func ReadStatement(name string, b []byte) (Statement, error) {
	var f struct {
		Signed struct {
			Type     string    `json:"_type"`
			Version  int64     `json:"version"`
			Expires  time.Time `json:"expires"`
			SignedAt time.Time `json:"x-overland-signed-at"`
		} `json:"signed"`
		Signatures []struct {
			KeyID string `json:"keyid"`
		} `json:"signatures"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return Statement{}, errs.E(errs.Untrusted, fmt.Errorf("metadata %s: %w", name, err))
	}
	s := Statement{
		Type: f.Signed.Type, Role: RoleOf(name), Version: f.Signed.Version,
		Expires: f.Signed.Expires, SignedAt: f.Signed.SignedAt,
	}
	for _, sig := range f.Signatures {
		s.KeyIDs = append(s.KeyIDs, sig.KeyID)
	}
	return s, nil
}

// RoleOf returns the role whose metadata has name on the wire: WireName the other way round.
func RoleOf(name string) string {
	role := strings.TrimSuffix(name, ".json")
	if number, rest, ok := strings.Cut(role, "."); ok && number != "" && strings.Trim(number, "0123456789") == "" {
		role = rest
	}
	if plain, err := url.PathUnescape(role); err == nil {
		return plain
	}
	return role
}
