package client_test

import (
	"testing"
	"time"

	"overland/internal/testkit/attack"
)

// Whoever stole the snapshot key alone, and had a timestamp made for it, is outdone by a new
// snapshot key: what the old one said of versions no longer counts.
func TestFastForwardOfSnapshotAlone(t *testing.T) {
	p := attack.New(day0)
	p.Put("targets", "a", "one")
	p.Publish("targets")
	v := newVictim(t, p)
	v.accepts(p)
	honest := p.Snapshot.Signed.Version
	const high = 1 << 62
	p.Snapshot.Signed.Version = high
	p.Publish("targets")
	v.accepts(p)

	p.Now = day0.Add(time.Hour)
	p.Snapshot.Signed.Version = honest
	p.Put("targets", "a", "two")
	p.Replace("snapshot", attack.NewKey())
	p.PublishRoot()
	p.Publish("targets")
	v.reopen()
	v.now = p.Now
	v.accepts(p)
	v.says("a", "two")
}

// A terminating delegation has the last word on its paths, also when it says nothing of one.
func TestTerminatingDelegation(t *testing.T) {
	for _, terminating := range []bool{false, true} {
		p := attack.New(day0)
		p.Delegate("targets", "first", "app/*")
		p.Delegate("targets", "second", "app/*")
		p.Roles["targets"].Signed.Delegations.Roles[0].Terminating = terminating
		p.Put("first", "app/a", "by first")
		p.Put("second", "app/a", "by second")
		p.Put("second", "app/b", "by second")
		p.Publish("targets", "first", "second")
		v := newVictim(t, p)
		v.accepts(p)
		v.says("app/a", "by first")
		if terminating {
			v.says("app/b", "")
		} else {
			v.says("app/b", "by second")
		}
	}
}
