package site

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"overland/internal/db"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/health"
	shacache "overland/internal/netcache"
	"overland/internal/netcache/server"
)

// policyOnDisk is the policy of the network cache: the file that a person writes, also while the
// site runs. What it says of accounts and revoked keys is copied to the site's database. So when
// the file is gone nobody may write, but what was revoked stays so.
type policyOnDisk struct {
	path  string
	open  bool   // everybody may write, whatever the file says
	facts *db.DB // nil = nothing outlives the file
	log   *slog.Logger

	mu      sync.Mutex
	seen    fs.FileInfo // of the file that was read; nil = there was none
	policy  *server.Policy
	stored  bool           // the database has what the policy says
	trouble health.Trouble // it cannot be read or stored now
}

// now returns the policy. When the file cannot be read any more, the last one that could
// stays, and each call tries again.
func (p *policyOnDisk) now() *server.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.read()
	if p.trouble.Report(err) == health.Began {
		p.log.Error("the network cache's policy cannot be read or remembered", "error", err, "hint", errs.HintOf(err))
	}
	return p.policy
}

// read reads the file when it has changed since the last time. A policy that cannot be stored
// counts all the same; each call tries again to store it.
func (p *policyOnDisk) read() error {
	info, err := os.Stat(p.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	first := p.policy == nil
	if !first && same(info, p.seen) {
		return p.store()
	}
	policy, err := readPolicy(p.path)
	if err != nil {
		return err
	}
	if info == nil {
		if err := p.keepRevoked(&policy); err != nil {
			return err
		}
	}
	p.seen, p.stored = info, false
	for _, w := range policy.Warnings {
		p.log.Warn("a part of the network cache's policy is left out", "why", w)
	}
	policy.Open = policy.Open || p.open
	if p.policy = &policy; !first {
		p.log.Info("the network cache's policy is a new one")
	}
	return p.store()
}

// keepRevoked adds what was revoked before to policy, whose file is missing.
func (p *policyOnDisk) keepRevoked(policy *server.Policy) error {
	if p.facts == nil {
		return nil
	}
	list, err := p.facts.Revoked(context.Background())
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.PublicKey == "" {
			policy.RevokedIDs = append(policy.RevokedIDs, r.KeyID)
			continue
		}
		block, _ := pem.Decode([]byte(r.PublicKey))
		if block == nil {
			return errs.Errorf(errs.Invalid, "site database: revoked key %s: not a public key", r.KeyID)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return errs.Errorf(errs.Invalid, "site database: revoked key %s: %w", r.KeyID, err)
		}
		policy.Revoked = append(policy.Revoked, shacache.Key{ID: r.KeyID, Public: public})
	}
	if len(list) > 0 {
		p.log.Warn("there is no policy of the network cache: nobody may write, and what was revoked stays revoked", "keys", len(list))
	}
	return nil
}

// store copies to the database whom the policy lets write and what it revokes.
func (p *policyOnDisk) store() error {
	if p.stored || p.facts == nil {
		return nil
	}
	var accounts []db.Account
	for _, a := range p.policy.Accounts {
		accounts = append(accounts, db.Account{Identity: a.Identity, Name: a.Name, Prefixes: a.Prefixes})
	}
	var revoked []db.Revoked
	now := time.Now()
	for _, k := range p.policy.Revoked {
		der, err := x509.MarshalPKIXPublicKey(k.Public)
		if err != nil {
			return fmt.Errorf("revoked key %s: %w", k.ID, err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		revoked = append(revoked, db.Revoked{KeyID: k.ID, PublicKey: string(text), Since: now})
	}
	for _, id := range p.policy.RevokedIDs {
		revoked = append(revoked, db.Revoked{KeyID: id, Since: now})
	}
	err := p.facts.SetAccess(context.Background(), accounts, revoked)
	p.stored = err == nil
	return err
}

func readPolicy(path string) (server.Policy, error) {
	f, err := fsx.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return server.Policy{}, nil
	}
	if err != nil {
		return server.Policy{}, err
	}
	defer f.Close()
	p, err := server.ParsePolicy(f)
	if err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// same reports whether two looks at a file, nil where there was none, saw the same content.
func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
