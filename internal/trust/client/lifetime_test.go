package client_test

import (
	"testing"
	"time"

	"overland/internal/testkit/attack"
	"overland/internal/trust"
)

const day = 24 * time.Hour

// TestS12AStolenOnlineKeyHidesNewsForAYear signs today's state with the online key as fresh for 360 days, dated now,
// dated ahead, and not dated at all.
func TestS12AStolenOnlineKeyHidesNewsForAYear(t *testing.T) {
	for name, c := range map[string]struct {
		role    string
		ahead   time.Duration // of the signing time
		life    time.Duration
		noStamp bool
		want    error
	}{
		"as long as may be":               {"timestamp", 0, 31 * day, false, nil},
		"a day longer":                    {"timestamp", 0, 32 * day, false, trust.ErrLifetime},
		"a year":                          {"timestamp", 0, 360 * day, false, trust.ErrLifetime},
		"dated ahead":                     {"timestamp", 300 * day, 31 * day, false, trust.ErrLifetime},
		"not dated":                       {"timestamp", 0, 32 * day, true, trust.ErrLifetime},
		"not dated, short":                {"timestamp", 0, 31 * day, true, nil},
		"a snapshot as long as may be":    {"snapshot", 0, 90 * day, false, nil},
		"a snapshot for longer":           {"snapshot", 0, 91 * day, false, trust.ErrLifetime},
		"a snapshot not dated":            {"snapshot", 0, 91 * day, true, trust.ErrLifetime},
		"targets for longer than a year":  {"targets", 0, 401 * day, false, trust.ErrLifetime},
		"a root for longer than 5 years":  {"root", 0, 1831 * day, false, trust.ErrLifetime},
		"a root as long as may be":        {"root", 0, 1830 * day, false, nil},
		"targets as long as may be":       {"targets", 0, 400 * day, false, nil},
		"a clock that lags by two weeks":  {"timestamp", 14 * day, 14 * day, false, nil},
		"a clock that lags by four weeks": {"timestamp", 28 * day, 14 * day, false, trust.ErrLifetime},
	} {
		t.Run(name, func(t *testing.T) {
			p := attack.New(day0)
			v := newVictim(t, p)
			p.Now = day0.Add(c.ahead)
			honest := p.Lifetime
			life := func(role string) {
				p.Lifetime, p.NoStamp = honest, false
				if role == c.role {
					p.Lifetime, p.NoStamp = c.life, c.noStamp
				}
			}
			life("root")
			p.PublishRoot()
			life("targets")
			p.Publish("targets")
			life("snapshot")
			p.PublishSnapshot()
			life("timestamp")
			p.PublishTimestamp()
			if c.want == nil {
				v.accepts(p)
				return
			}
			v.refuses(p, c.want)
			// Offline the clock is not asked: there only a signing time tells the lifetime.
			if c.ahead == 0 && !c.noStamp {
				v.refuses(p, c.want, offline)
			}
		})
	}
}

// A delegated role that is valid for longer than may be is not believed.
func TestS12ADelegatedRoleForTwoYears(t *testing.T) {
	p := attack.New(day0)
	p.Delegate("targets", "app/wallet", "app/wallet/*")
	p.Put("app/wallet", "app/wallet/r1", "one")
	p.Lifetime = 399 * day
	p.Publish("targets", "app/wallet")
	p.Lifetime = 30 * day
	p.PublishSnapshot()
	p.PublishTimestamp()
	v := newVictim(t, p)
	v.accepts(p)
	v.says("app/wallet/r1", "one")
	p.Lifetime = 730 * day
	p.Publish("app/wallet")
	p.Lifetime = 30 * day
	p.PublishSnapshot()
	p.PublishTimestamp()
	v.accepts(p)
	if _, err := v.Target(t.Context(), "app/wallet/r1"); err == nil {
		t.Error("believed for two years")
	}
}

// A machine whose clock is known to be wrong takes what is signed now: refusing would keep it from news for good.
func TestAClockBelowItsFloorIsNotAsked(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	v.build, v.now = day0.AddDate(0, -6, 0), day0.AddDate(-1, 0, 0)
	v.reopen()
	v.accepts(p)
}

// TestS12OfflineForEver dates every volume back to the day of the first, years later, with the online key alone.
// A node whose program, or whose last check, is later than the expiry of targets ends that.
func TestS12OfflineForEver(t *testing.T) {
	p := attack.New(day0)
	p.Lifetime = 365 * day
	p.PublishRoot()
	p.Publish("targets")
	online := func() {
		p.Lifetime = 30 * day
		p.PublishSnapshot()
		p.PublishTimestamp()
	}
	online()
	v := newVictim(t, p)
	v.now = day0.AddDate(9, 0, 0)
	v.accepts(p, offline) // sealed on day 0, and nothing here is known to be later
	online()              // with the thief's signature, still of day 0
	v.accepts(p, offline)
	v.build = day0.Add(366 * day)
	v.reopen()
	online()
	v.refuses(p, trust.ErrExpired, offline)
}
