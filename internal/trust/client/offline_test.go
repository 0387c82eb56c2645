package client_test

import (
	"context"
	"testing"
	"time"

	"overland/internal/errs"
	"overland/internal/testkit/attack"
	"overland/internal/trust"
	"overland/internal/trust/client"
)

var offline = client.RefreshOptions{Offline: true}

// TestSealedVolumeAfterItsExpiry installs what was valid when it was sealed, on a fresh
// node, whatever its clock says.
func TestSealedVolumeAfterItsExpiry(t *testing.T) {
	for name, now := range map[string]time.Time{
		"a year later": day0.AddDate(1, 0, 0), "clock at 1970": time.Unix(0, 0), "clock at 2100": day0.AddDate(74, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			p := attack.New(day0)
			p.Delegate("targets", "app/wallet", "app/wallet/*")
			p.Put("app/wallet", "app/wallet/r1", "one")
			p.Publish("targets", "app/wallet")
			v := newVictim(t, p)
			v.now = now
			if now.After(day0) {
				v.refuses(p, trust.ErrExpired) // online, the same is a freeze
			}
			f := v.accepts(p, offline)
			if f.Known || !f.SignedAt.Equal(day0) {
				t.Errorf("freshness %+v: want unknown, sealed at %s", f, day0)
			}
			v.says("app/wallet/r1", "one")
			v.reopen()
			v.accepts(p, offline)
			v.says("app/wallet/r1", "one")
		})
	}
}

func TestSealedVolumeOlderThanWhatTheNodeHasSeen(t *testing.T) {
	p := attack.New(day0)
	p.Put("targets", "a", "one")
	p.Publish("targets")
	v := newVictim(t, p)
	old := p.Files()
	p.Now = day0.AddDate(0, 0, 10)
	p.Put("targets", "a", "two")
	p.Publish("targets")
	newer := p.Files()
	v.accepts(p, offline)
	p.SetFiles(old)
	for range 2 {
		v.refuses(p, trust.ErrRollback, offline)
		v.reopen()
	}
	p.SetFiles(newer)
	v.accepts(p, offline)
	v.says("a", "two")
}

// TestSealedAtBeforeWhatTheNodeHasSeen is a higher version that claims to be sealed before what the
// node has verified: its expiry is checked against the later time, so dating back gains nothing.
func TestSealedAtBeforeWhatTheNodeHasSeen(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	v.accepts(p, offline)
	p.Now = day0.AddDate(0, 0, 20)
	p.PublishTimestamp()
	v.accepts(p, offline)
	p.Now, p.Lifetime = day0, 24*time.Hour
	p.PublishTimestamp()
	v.refuses(p, trust.ErrExpired, offline)
}

func TestSealedAfterItsOwnExpiry(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	p.Lifetime = -time.Hour
	p.PublishTimestamp()
	v.refuses(p, trust.ErrMismatch, offline)
	v.refuses(p, trust.ErrMismatch)
}

// TestExpiredWhenSealed is a volume that carried expired metadata already when it was sealed.
func TestExpiredWhenSealed(t *testing.T) {
	for _, role := range []string{"root", "snapshot", "targets"} {
		p := attack.New(day0)
		p.Delegate("targets", "app/wallet", "app/wallet/*")
		p.Publish("targets", "app/wallet")
		v := newVictim(t, p)
		p.Now = day0.AddDate(0, 2, 0)
		resign(p, role)
		p.PublishTimestamp() // with the time of sealing in it
		v.refuses(p, trust.ErrExpired, offline)
	}
}

// TestUnsealedVolume says nothing of when it was sealed: expiry is judged by the clock.
func TestUnsealedVolume(t *testing.T) {
	p := attack.New(day0)
	p.NoStamp = true
	p.PublishTimestamp()
	v := newVictim(t, p)
	if f := v.accepts(p, offline); f.Known || !f.SignedAt.IsZero() {
		t.Errorf("freshness %+v", f)
	}
	v.now = day0.AddDate(1, 0, 0)
	v.refuses(p, trust.ErrExpired, offline)
}

func TestOnlineAfterOffline(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	v.now = time.Unix(0, 0)
	v.accepts(p, offline)
	p.Now = day0.AddDate(0, 0, 20)
	p.PublishRoot()
	p.Publish("targets")
	v.now = p.Now
	if f := v.accepts(p); !f.Known {
		t.Errorf("freshness %+v", f)
	}
}

func TestNothingOnDiskYet(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	_, err := v.Refresh(context.Background(), nil, offline)
	if errs.KindOf(err) != errs.Unavailable || errs.HintOf(err) == "" {
		t.Fatalf("%v", err)
	}
	v.accepts(p)
	if f := v.accepts(nil); f.Known {
		t.Errorf("freshness %+v from the disk alone", f)
	}
}
