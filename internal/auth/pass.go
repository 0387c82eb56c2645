package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"overland/internal/errs"
)

// PassLife is how long a pass holds.
const PassLife = 5 * time.Minute

// pass is what a client shows in place of its login for a while. It names the account and not its rights: those are
// looked up whenever the pass is shown.
type pass struct {
	Secret  string `json:"secret"` // of the account; "" = somebody of whom nothing is known
	Expires int64  `json:"expires"`
}

// Issue returns a pass for the account, also for the zero Account. It holds for PassLife and in this process alone: a
// client whose pass does not hold asks for another one.
func (a *Accounts) Issue(of Account) string {
	b, err := json.Marshal(pass{of.secret, a.now().Add(PassLife).Unix()})
	if err != nil {
		panic(err) // strings always marshal
	}
	return encoding.EncodeToString(b) + "." + encoding.EncodeToString(a.mac(b))
}

var encoding = base64.RawURLEncoding

func (a *Accounts) mac(b []byte) []byte {
	h := hmac.New(sha256.New, a.key)
	h.Write(b)
	return h.Sum(nil)
}

// ByPass returns the account that text, a pass, was issued for; the zero Account for a pass of nobody. A pass that does
// not hold is errs.Denied.
func (a *Accounts) ByPass(ctx context.Context, text string) (Account, error) {
	body, mac, _ := strings.Cut(text, ".")
	b, err1 := encoding.DecodeString(body)
	sum, err2 := encoding.DecodeString(mac)
	var p pass
	if err1 != nil || err2 != nil || !hmac.Equal(sum, a.mac(b)) || json.Unmarshal(b, &p) != nil || a.now().Unix() >= p.Expires {
		return Account{}, errs.Errorf(errs.Denied, "this pass does not hold any more")
	}
	if p.Secret == "" {
		return Account{}, nil
	}
	return a.by(ctx, p.Secret)
}
