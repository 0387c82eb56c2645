package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"overland/internal/db/sqlite"
	"overland/internal/errs"
)

func open(t *testing.T) *Accounts {
	t.Helper()
	facts, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "site.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = facts.Close() })
	return Open(facts)
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"wallet", "wallet", true},
		{"wallet", "wallet2", false},
		{"wallet", "wallet/x", false},
		{"staging/*", "staging/wallet", true},
		{"staging/*", "staging", false},
		{"staging/*", "staging/a/b", false},
		{"staging/**", "staging/a/b", true},
		{"staging/**", "staging", false},
		{"staging/**", "stagingx/a", false},
		{"*/wallet", "live/wallet", true},
		{"*/wallet", "live/other", false},
		{"**", "anything/at/all", true},
		{"*", "a", true},
		{"*", "a/b", false},
		{"staging/wallet", "staging", false},
		{"**/wallet", "live/other", false}, // ** stands for parts at the end alone
	} {
		a := Account{Grants: []Grant{{Push, c.pattern}}}
		if got := a.May(Push, c.name); got != c.want {
			t.Errorf("%s and %s: %v", c.pattern, c.name, got)
		}
	}
}

// Each action is given alone, but for pulling.
func TestGrants(t *testing.T) {
	for _, given := range []Action{Pull, Push, Delete} {
		for _, wanted := range []Action{Pull, Push, Delete} {
			a := Account{Grants: []Grant{{given, "a"}}}
			if got, want := a.May(wanted, "a"), given == wanted || wanted == Pull; got != want {
				t.Errorf("%s with a grant for %s: %v", wanted, given, got)
			}
		}
	}
	if (Account{}).May(Pull, "a") {
		t.Error("somebody of whom nothing is known may pull")
	}
}

func TestTokens(t *testing.T) {
	ctx, a := t.Context(), open(t)
	now := time.UnixMilli(1e12)
	a.now = func() time.Time { return now }
	grants := []Grant{{Push, "staging/*"}}
	token, err := a.Make(ctx, "ann", grants, now.Add(time.Hour))
	if err != nil || len(token) < 26 {
		t.Fatal(token, err)
	}
	other, err := a.Make(ctx, "bob", nil, time.Time{})
	if err != nil || other == token {
		t.Fatal(err)
	}
	want := Account{Name: "ann", Grants: grants, Made: now, Expires: now.Add(time.Hour), By: "token"}
	got, err := a.ByToken(ctx, "ann", token)
	got.secret = ""
	if d := cmp.Diff(want, got, cmp.AllowUnexported(Account{})); d != "" || err != nil {
		t.Error(err, d)
	}
	rows, err := a.facts.Logins(ctx)
	if err != nil || strings.Contains(rows[0].Secret, token) {
		t.Errorf("the database has the token: %v", err)
	}
	denied := func(what, name, token string) {
		t.Helper()
		if got, err := a.ByToken(ctx, name, token); errs.KindOf(err) != errs.Denied || got.Name != "" {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	denied("another's token", "ann", other)
	denied("no token", "ann", "")
	denied("a token with more behind it", "ann", token+"x")
	pass, nobody := a.Issue(got2(a.ByToken(ctx, "", token))), a.Issue(Account{})
	if of, err := a.ByPass(ctx, pass); of.Name != "ann" || err != nil {
		t.Errorf("a pass of ann: %v, %v", of, err)
	}
	if of, err := a.ByPass(ctx, nobody); of.Name != "" || err != nil {
		t.Errorf("a pass of nobody: %v, %v", of, err)
	}
	body, _, _ := strings.Cut(pass, ".")
	_, mac, _ := strings.Cut(nobody, ".")
	for _, bad := range []string{"", ".", body, body + ".", body + "." + mac, Open(a.facts).Issue(got)} {
		if of, err := a.ByPass(ctx, bad); errs.KindOf(err) != errs.Denied || of.Name != "" {
			t.Errorf("the pass %q: %v, %v", bad, of, err)
		}
	}
	now = now.Add(PassLife)
	if _, err := a.ByPass(ctx, pass); errs.KindOf(err) != errs.Denied {
		t.Errorf("a pass that is old: %v", err)
	}
	now = now.Add(time.Hour)
	denied("an account that has expired", "ann", token)
	bobs := a.Issue(got2(a.ByToken(ctx, "bob", other)))
	if err := a.Remove(ctx, "bob"); err != nil {
		t.Error(err)
	}
	if of, err := a.ByPass(ctx, bobs); errs.KindOf(err) != errs.Denied || of.Name != "" {
		t.Errorf("the pass of an account that is gone: %v, %v", of, err)
	}
	denied("an account that is gone", "bob", other)
	if err := a.Remove(ctx, "bob"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("again: %v", err)
	}
}

func got2(a Account, _ error) Account { return a }

func TestNamesAndPatternsAreChecked(t *testing.T) {
	a := open(t)
	for _, name := range []string{"", "a b", "a:b", "-a", strings.Repeat("a", 65), "a\x1b"} {
		if _, err := a.Make(t.Context(), name, nil, time.Time{}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("account %q: %v", name, err)
		}
	}
	for _, pattern := range []string{"", "/", "a/", "/a", "a//b", "A", "a/**/b", "a*", "***", "../a b"} {
		if _, err := a.Make(t.Context(), "ann", []Grant{{Push, pattern}}, time.Time{}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("pattern %q: %v", pattern, err)
		}
	}
}

// A name, and a certificate, stand for one account.
func TestNamesAreTakenOnce(t *testing.T) {
	ctx, a := t.Context(), open(t)
	mine := certificate(t, nil)
	if err := a.MakeKnownBy(ctx, "ann", mine.c, nil, time.Time{}); err != nil {
		t.Fatal(err)
	}
	_, err := a.Make(ctx, "ann", nil, time.Time{})
	for what, err := range map[string]error{"the name": err, "the certificate": a.MakeKnownBy(ctx, "bob", mine.c, nil, time.Time{})} {
		if errs.KindOf(err) != errs.Conflict || errs.HintOf(err) == "" || strings.Contains(err.Error(), keySecret(mine.c)) {
			t.Errorf("%s again: %v", what, err)
		}
	}
	// A database that does not answer is not an account that is not known: with that anybody is let in.
	if err := a.facts.Close(); err != nil {
		t.Fatal(err)
	}
	if of, err := a.ByCertificate(ctx, mine.c); err == nil || errs.KindOf(err) == errs.Denied {
		t.Errorf("without a database: %v, %v", of, err)
	}
	if of, err := a.ByToken(ctx, "ann", "token"); err == nil || errs.KindOf(err) == errs.Denied {
		t.Errorf("without a database: %v, %v", of, err)
	}
}

// A certificate stands for an account by its key: whoever issued it, and until when, is nobody's business.
func TestCertificates(t *testing.T) {
	ctx, a := t.Context(), open(t)
	mine, other := certificate(t, nil), certificate(t, nil)
	again := certificate(t, mine.key)
	if err := a.MakeKnownBy(ctx, "ann", mine.c, []Grant{{Push, "a"}}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		key  pair
		name string
	}{"itself": {mine, "ann"}, "the key's next certificate": {again, "ann"}, "another": {other, ""}} {
		if got, err := a.ByCertificate(ctx, c.key.c); got.Name != c.name || err != nil {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	list, err := a.List(ctx)
	if err != nil || len(list) != 1 || list[0].By != "certificate" {
		t.Errorf("%v, %v", list, err)
	}
}

type pair struct {
	key *ecdsa.PrivateKey
	c   *x509.Certificate
}

func certificate(t *testing.T, key *ecdsa.PrivateKey) pair {
	t.Helper()
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano())}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return pair{key, c}
}
