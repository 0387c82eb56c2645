package doctor_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"overland/internal/trust"
	"overland/internal/trust/doctor"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

// Each rule at its edges: what is found, and the remedy that a person is told.
func TestEachRule(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	key := func(name string) trust.KeyInfo {
		return trust.KeyInfo{Name: name, ID: "id-" + name, Private: true, Locked: true}
	}
	plain := func(name string) trust.KeyInfo { return trust.KeyInfo{Name: name, ID: "id-" + name, Private: true} }
	role := func(name string, threshold int, list ...trust.KeyInfo) repository.RoleInfo {
		return repository.RoleInfo{Role: name, Version: 1, Threshold: threshold, Keys: list, Expires: now.AddDate(1, 0, 0)}
	}
	until := func(r repository.RoleInfo, left time.Duration) repository.RoleInfo {
		r.Expires = now.Add(left)
		return r
	}
	file := func(path, name string, mode fs.FileMode, locked bool) keys.File {
		return keys.File{Path: path, Name: name, ID: "id-" + name, Mode: mode, Locked: locked}
	}
	roots := role("root", 1, key("root"), key("root2"))
	daily := []repository.RoleInfo{role("timestamp", 1, plain("online")), role("snapshot", 1, plain("online"))}
	site := func(more ...repository.RoleInfo) *repository.Info {
		return &repository.Info{Roles: slices.Concat([]repository.RoleInfo{roots}, daily, more)}
	}
	at := func(level, about, what, remedy string) string {
		return fmt.Sprintf("%s %s: %s → %s", level, about, what, remedy)
	}
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		facts doctor.Facts
		want  []string // the beginning of what, and of the remedy
	}{
		"nothing": {},
		"modes": {doctor.Facts{
			Folders: []keys.Folder{{Path: "/k", Mode: 0o701}, {Path: "/o", Mode: 0o700}},
			Files:   []keys.File{file("/k/a", "a", 0o604, true), file("/k/b", "b", 0o620, true), file("/k/c", "c", 0o600, true)},
		}, []string{
			at("weak", "/k", "the folder has mode 0701", "chmod 700 /k"),
			at("weak", "/k/a", "the private key has mode 0604", "if nobody has read it: chmod 600 /k/a; otherwise overland key rotate a"),
			at("weak", "/k/b", "the private key has mode 0620", "if nobody"),
		}},
		"before anything is signed": {
			doctor.Facts{Files: []keys.File{file("/k/online", "online", 0o600, false), file("/k/root", "root", 0o600, false)}},
			[]string{at("weak", "/k/root", "the private key is not encrypted", "overland key passphrase root")},
		},
		"an old key in the clear": {
			doctor.Facts{Info: site(), Files: []keys.File{{Path: "/k/r/online", Name: "online", ID: "id-online", Mode: 0o600, Retired: true}}},
			[]string{at("weak", "/k/r/online", "a key that was rotated away", "rm /k/r/online")},
		},
		"an old key": {doctor.Facts{Info: site(), Files: []keys.File{{Path: "/k/root", Name: "root", ID: "id-root", Mode: 0o600, Retired: true, Locked: true}, file("/k/online", "online", 0o600, false)}}, nil},
		"the online key signs for people": {
			doctor.Facts{Info: site(role("app/x", 1, plain("online")), role("app/y", 1, key("ann"))), Files: []keys.File{file("/k/online", "online", 0o600, false)}},
			[]string{at("weak", "/k/online", "the online key, which has no passphrase, also signs for app/x", "overland key new NAME, overland trust add-signer for it, then remove-signer online")},
		},
		"each of the daily keys": {
			doctor.Facts{
				Info: &repository.Info{Roles: []repository.RoleInfo{
					roots, role("timestamp", 1, plain("clock")), role("snapshot", 1, plain("list")),
					role("channel/live", 2, key("ann"), plain("list")), role("fallback/live", 1),
				}},
				Files: []keys.File{file("/k/list", "list", 0o600, false), file("/k/root", "root", 0o600, true), file("/c/clock", "clock", 0o600, false)},
			},
			[]string{
				at("weak", "/k/list", "the online key, which has no passphrase, also signs for channel/live", ""),
				at("weak", "/k/root", "a root key lies beside the online key", ""),
				at("weak", "channel/live", "the machine's key list counts as a person", ""),
			},
		},
		"root beside it": {
			doctor.Facts{Info: site(), Files: []keys.File{file("/k/online", "online", 0o600, false), file("/k/root", "root", 0o600, true)}},
			[]string{at("weak", "/k/root", "a root key lies beside the online key", "mkdir -m 700 /k/root; mv /k/root /k/root")},
		},
		"root below it": {
			doctor.Facts{Info: site(), Files: []keys.File{file("/k/online", "online", 0o600, false), file("/k/root/root", "root", 0o600, true)}},
			[]string{at("note", "/k/root/root", "a root key is on the machine with the online key", "move the folder")},
		},
		"root elsewhere": {doctor.Facts{Info: site(), Files: []keys.File{file("/k/online", "online", 0o600, false), file("/stick/root", "root", 0o600, true)}}, nil},
		"one root key": {
			doctor.Facts{Info: &repository.Info{Roles: []repository.RoleInfo{role("root", 1, key("root"))}}},
			[]string{at("note", "root", "there is one root key", "overland key new root2 --root")},
		},
		"the edge of a month": {doctor.Facts{Info: site(until(role("app/x", 1, key("a")), 30*day))}, nil},
		"within a month": {
			doctor.Facts{Info: site(until(role("app/x", 1, key("a")), 30*day-1))},
			[]string{at("weak", "app/x", "it expires soon, at 2026-07-31 11:59 UTC", "overland trust refresh, where the keys of app/x are")},
		},
		"this moment": {doctor.Facts{Info: site(until(role("app/x", 1, key("a")), 0))}, []string{at("weak", "app/x", "it expires soon", "")}},
		"expired":     {doctor.Facts{Info: site(until(role("app/x", 1, key("a")), -1))}, []string{at("weak", "app/x", "it expired at 2026-07-01 11:59 UTC: nodes refuse it", "")}},
		"what a site renews": {
			doctor.Facts{Info: &repository.Info{Roles: []repository.RoleInfo{roots, until(daily[0], 4*day), until(daily[1], 4*day-1)}}},
			[]string{at("weak", "snapshot", "it expires soon", "overland trust refresh, or a running site")},
		},
		"never signed": {doctor.Facts{Info: site(repository.RoleInfo{Role: "app/x", Threshold: 1, Expires: now.AddDate(-1, 0, 0)})}, nil},
		"a machine as the only person": {doctor.Facts{Info: site(role("channel/live", 2, key("promote")), role("fallback/live", 1))}, []string{
			at("weak", "channel/live", "the machine's key promote counts as a person", ""),
		}},
		"a machine's own channel": {doctor.Facts{Info: site(role("channel/live", 1, key("promote")))}, nil},
		"an application's people": {doctor.Facts{Info: site(role("app/x", 1, key("ann"), key("ben")))}, nil},
		"any one of two": {
			doctor.Facts{Info: site(role("channel/live", 1, key("ann"), key("ben")))},
			[]string{at("weak", "channel/live", "any one of its 2 signers moves it alone", "overland trust add-signer channel/live KEY --threshold 2")},
		},
		"a machine as a person": {doctor.Facts{Info: site(role("channel/live", 2, key("ann"), key("promote"), key("online")), role("fallback/live", 1))}, []string{
			at("weak", "channel/live", "the machine's key promote counts as a person", "overland trust remove-signer channel/live promote"),
			at("weak", "channel/live", "the machine's key online counts as a person", "overland trust remove-signer channel/live online"),
		}},
		"nobody returns it alone": {
			doctor.Facts{Info: site(role("channel/live", 2, key("ann"), key("ben")), role("fallback/next", 1))},
			[]string{at("note", "channel/live", "no one signer can return it", "overland trust add-signer channel/live KEY, with a key that signs already, makes fallback/live")},
		},
		"somebody may": {doctor.Facts{Info: site(role("channel/live", 2, key("ann"), key("ben")), role("fallback/live", 1))}, nil},
		"one person signs as two": {
			doctor.Facts{Info: site(role("app/x", 2, plain("ann"), key("ben"), plain("cem")))},
			[]string{at("weak", "app/x", "ann and cem are all on this machine, in the clear: one person signs as 2", "each person keeps a key on a machine of their own, with a passphrase: overland key passphrase ann")},
		},
		"two persons": {doctor.Facts{Info: site(role("app/x", 2, plain("ann"), key("ben"), trust.KeyInfo{Name: "cem"}))}, nil},
		"one of one":  {doctor.Facts{Info: site(role("app/x", 1, plain("ann")))}, nil},
		"returned, and something weak": {doctor.Facts{
			Info: site(until(role("app/x", 1, key("a")), -1)), Returned: []doctor.Returned{{Role: "channel/live", What: "100% of x is back"}},
			Folders: []keys.Folder{{Path: "/k", Mode: 0o770}},
		}, []string{
			at("weak", "/k", "the folder", ""), at("weak", "app/x", "it expired", ""),
			at("note", "channel/live", "100% of x is back", "overland promote, signed by as many as the channel asks for, ends that"),
		}},
	} {
		test.facts.Now = now
		got := doctor.Examine(test.facts)
		fits := len(got) == len(test.want)
		for k := range min(len(got), len(test.want)) {
			head, remedy, _ := strings.Cut(test.want[k], " → ")
			fits = fits && strings.HasPrefix(fmt.Sprintf("%s %s: %s", got[k].Level, got[k].About, got[k].What), head) && strings.HasPrefix(got[k].Remedy, remedy)
		}
		if !fits {
			t.Errorf("%s:\ngot  %+v\nwant %q", name, got, test.want)
		}
	}
}
