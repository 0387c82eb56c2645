package release_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/testkit/attack"
	"overland/internal/trust"
	"overland/internal/trust/client"
	"overland/internal/trust/mirror"
)

// twoApps is a publisher whose channel live runs a and b, r1 each.
func twoApps(now time.Time) *attack.Publisher {
	p := attack.New(now)
	p.Lifetime = 24 * time.Hour
	roles := []string{"targets", "channel/live"}
	p.Delegate("targets", "channel/live", "channel/live/*")
	for _, app := range []string{"a", "b"} {
		role := "app/" + app
		p.Delegate("targets", role, role+"/*")
		p.Put(role, role+"/r1", app)
		p.Put("channel/live", "channel/live/"+app, app)
		custom := json.RawMessage(`{"version":"r1"}`)
		p.Roles["channel/live"].Signed.Targets["channel/live/"+app].Custom = &custom
		roles = append(roles, role)
	}
	p.Publish(roles...)
	return p
}

// current returns what a node that trusts p's root runs, and whom it refuses, from src.
func current(t *testing.T, p *attack.Publisher, src trust.MetadataSource, now time.Time) ([]release.Entry, []release.Refused) {
	t.Helper()
	c, err := client.Open(t.TempDir(), client.Options{Clock: clock.At(now)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PinRoot(t.Context(), p.Files()["1.root.json"]); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(t.Context(), src, client.RefreshOptions{}); err != nil {
		t.Fatal(err)
	}
	list, refused, err := release.Current(t.Context(), c, "live")
	if err != nil {
		t.Fatal(err)
	}
	return list, refused
}

// sources returns p and a site that has taken over what it serves, by name.
func sources(t *testing.T, p *attack.Publisher, now time.Time) map[string]trust.MetadataSource {
	t.Helper()
	m, err := mirror.Open(filepath.Join(t.TempDir(), "mirror"), client.Options{Clock: clock.At(now)})
	if err != nil {
		t.Fatal(err)
	}
	fp, err := trust.FingerprintOf(p.Files()["1.root.json"])
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Pin(t.Context(), p, fp); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Update(t.Context(), p); err != nil {
		t.Fatalf("the site in between takes nothing at all: %v", err)
	}
	return map[string]trust.MetadataSource{"the operator": p, "a site": m}
}

// Whatever b's signers, or whoever can write its file, make of it: a goes on, straight from the operator and
// through a site in between.
func TestS16OneRoleDoesNotStopAnother(t *testing.T) {
	begun := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		spoil func(p *attack.Publisher)
		want  error
	}{
		"expired": {func(p *attack.Publisher) {
			p.Lifetime = -time.Minute
			p.Publish("app/b")
			p.Lifetime = 24 * time.Hour
			p.Publish("app/a")
		}, trust.ErrExpired},
		"signed by another key": {func(p *attack.Publisher) {
			p.Signers["app/b"] = []attack.Key{attack.NewKey()}
			p.Publish("app/b")
		}, trust.ErrSignature},
		"not what snapshot says": {func(p *attack.Publisher) {
			p.Hashes = true
			p.Publish("app/b")
			p.Serve = func(name string, b []byte) ([]byte, error) {
				if strings.HasSuffix(name, "app%2Fb.json") {
					return append(b, '\n'), nil
				}
				return b, nil
			}
		}, nil},
		"gone": {func(p *attack.Publisher) {
			p.Serve = func(name string, b []byte) ([]byte, error) {
				if strings.HasSuffix(name, "app%2Fb.json") {
					return nil, fs.ErrNotExist
				}
				return b, nil
			}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := twoApps(begun)
			test.spoil(p)
			for from, src := range sources(t, p, begun) {
				list, refused := current(t, p, src, begun)
				if len(list) != 1 || list[0].App != "a" || len(refused) != 1 || refused[0].App != "b" {
					t.Errorf("from %s: runs %+v, refuses %+v", from, list, refused)
					continue
				}
				if errs.KindOf(refused[0].Err) != errs.Untrusted || (from == "the operator" && test.want != nil && !errors.Is(refused[0].Err, test.want)) {
					t.Errorf("from %s: %v", from, refused[0].Err)
				}
			}
		})
	}
}

// A link that is down says nothing about a release: the source is asked again later.
func TestCurrentWhileTheLinkIsDown(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := twoApps(now)
	p.Serve = func(name string, b []byte) ([]byte, error) {
		if strings.HasSuffix(name, "app%2Fb.json") {
			return nil, errs.Errorf(errs.Unavailable, "the link is down")
		}
		return b, nil
	}
	c, err := client.Open(t.TempDir(), client.Options{Clock: clock.At(now)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PinRoot(t.Context(), p.Files()["1.root.json"]); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(t.Context(), p, client.RefreshOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := release.Current(t.Context(), c, "live"); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("error: %v", err)
	}
}
