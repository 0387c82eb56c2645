package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"

	"overland/internal/db"
	"overland/internal/errs"
)

// Action is what an account does.
type Action string

// The actions. Whoever may push or delete may pull too.
const (
	Pull   Action = "pull"
	Push   Action = "push"
	Delete Action = "delete"
)

// Grant lets an account do Action with what has a name of the form Pattern: parts between "/", of which "*" is any
// one, and "**" at the end is any number.
type Grant struct {
	Action  Action `json:"action"`
	Pattern string `json:"pattern"`
}

// Account is who does something. The zero value is somebody of whom nothing is known, who may nothing.
type Account struct {
	Name    string    `json:"name"`
	Grants  []Grant   `json:"grants"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires,omitzero"` // zero = never
	By      string    `json:"by"`               // how it is known: token or certificate
	secret  string
}

// May reports whether the account may do action with what is called name.
func (a Account) May(action Action, name string) bool {
	for _, g := range a.Grants {
		if (g.Action == action || action == Pull) && match(g.Pattern, name) {
			return true
		}
	}
	return false
}

// match reports whether name has the form pattern.
func match(pattern, name string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(name, "/")
	for i, w := range want {
		if w == "**" && i == len(want)-1 {
			return len(have) > i
		}
		if i >= len(have) || w != "*" && w != have[i] {
			return false
		}
	}
	return len(want) == len(have)
}

var (
	nameForm    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)
	patternForm = regexp.MustCompile(`^(([a-z0-9._-]+|\*)/)*([a-z0-9._-]+|\*\*?)$`)
)

// Accounts are the accounts of a site.
type Accounts struct {
	facts *db.DB
	now   func() time.Time
	key   []byte // of the passes of this process
}

// Open returns the accounts in facts, which stays the caller's.
func Open(facts *db.DB) *Accounts {
	return &Accounts{facts: facts, now: time.Now, key: []byte(rand.Text() + rand.Text())}
}

// Make adds an account that a token stands for, and returns that: it is told only now. A zero expires is never.
// Errors: Invalid for a name or pattern that is none; Conflict for a name that is taken.
func (a *Accounts) Make(ctx context.Context, name string, grants []Grant, expires time.Time) (token string, err error) {
	token = strings.ToLower(rand.Text())
	return token, a.add(ctx, name, tokenSecret(token), grants, expires)
}

// MakeKnownBy adds an account that is known by the certificate c.
func (a *Accounts) MakeKnownBy(ctx context.Context, name string, c *x509.Certificate, grants []Grant, expires time.Time) error {
	return a.add(ctx, name, keySecret(c), grants, expires)
}

func (a *Accounts) add(ctx context.Context, name, secret string, grants []Grant, expires time.Time) error {
	if !nameForm.MatchString(name) {
		return errs.Errorf(errs.Invalid, "account %.80q: up to 64 letters, digits and ._@-", name)
	}
	l := db.Login{Name: name, Secret: secret, Made: a.now(), Expires: expires}
	for _, g := range grants {
		if !patternForm.MatchString(g.Pattern) {
			return errs.Hint(errs.Errorf(errs.Invalid, "names of the form %.100q", g.Pattern), "write it like wallet, staging/* or staging/**")
		}
		l.Grants = append(l.Grants, db.Grant{Action: string(g.Action), Pattern: g.Pattern})
	}
	err := a.facts.AddLogin(ctx, l)
	if errs.KindOf(err) == errs.Conflict {
		err = errs.Hint(errs.Errorf(errs.Conflict, "there is an account %s already, or one with that certificate", name), "remove it first")
	}
	return err
}

const tokenPrefix, keyPrefix = "token:", "key:"

func tokenSecret(token string) string {
	sum := sha256.Sum256([]byte(token))
	return tokenPrefix + hex.EncodeToString(sum[:])
}

func keySecret(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return keyPrefix + hex.EncodeToString(sum[:])
}

// ByToken returns the account of that name with that token; any account with the token when name is "". Anything else
// is errs.Denied, and the error does not say which of them is wrong.
func (a *Accounts) ByToken(ctx context.Context, name, token string) (Account, error) {
	found, err := a.by(ctx, tokenSecret(token))
	if err == nil && name != "" && found.Name != name {
		err = errs.Errorf(errs.Denied, "this login does not hold")
	}
	if err != nil {
		return Account{}, err
	}
	return found, nil
}

// ByCertificate returns the account that is known by c; the zero Account for one that is not known.
func (a *Accounts) ByCertificate(ctx context.Context, c *x509.Certificate) (Account, error) {
	found, err := a.by(ctx, keySecret(c))
	if errs.KindOf(err) == errs.Denied {
		return Account{}, nil
	}
	return found, err
}

func (a *Accounts) by(ctx context.Context, secret string) (Account, error) {
	l, err := a.facts.Login(ctx, secret)
	if errs.KindOf(err) == errs.NotFound || err == nil && !l.Expires.IsZero() && !a.now().Before(l.Expires) {
		return Account{}, errs.Errorf(errs.Denied, "this login does not hold")
	}
	if err != nil {
		return Account{}, err
	}
	return account(l), nil
}

func account(l db.Login) Account {
	a := Account{Name: l.Name, Made: l.Made, Expires: l.Expires, By: "token", Grants: []Grant{}, secret: l.Secret}
	if strings.HasPrefix(l.Secret, keyPrefix) {
		a.By = "certificate"
	}
	for _, g := range l.Grants {
		a.Grants = append(a.Grants, Grant{Action(g.Action), g.Pattern})
	}
	return a
}

// List returns all accounts, sorted by name.
func (a *Accounts) List(ctx context.Context) ([]Account, error) {
	rows, err := a.facts.Logins(ctx)
	list := []Account{}
	for _, l := range rows {
		list = append(list, account(l))
	}
	return list, err
}

// Remove removes an account: from then on its login does not hold. errs.NotFound when there is none.
func (a *Accounts) Remove(ctx context.Context, name string) error {
	err := a.facts.RemoveLogin(ctx, name)
	if errs.KindOf(err) == errs.NotFound {
		err = errs.Errorf(errs.NotFound, "there is no account %.80q", name)
	}
	if err != nil {
		return fmt.Errorf("remove account: %w", err)
	}
	return nil
}
