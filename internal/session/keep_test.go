package session_test

import (
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/session"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

// A lock that was written names nothing that a collection has just removed, unless it did before.
func TestKeep(t *testing.T) {
	depot, err := storedir.Open(t.TempDir(), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	there, err := store.PutBytes(t.Context(), depot, []byte("there"))
	if err != nil {
		t.Fatal(err)
	}
	lock := func(list ...digest.Digest) *lockfile.Lock {
		l := &lockfile.Lock{}
		for _, d := range list {
			l.Entries = append(l.Entries, lockfile.Entry{Protocol: "plain", Key: string(d), Status: 200, Blob: d})
		}
		return l
	}
	gone := digest.Of([]byte("gone"))
	if err := session.Keep(depot, lock(gone), lock(gone, there)); err != nil {
		t.Error(err)
	}
	if err := session.Keep(depot, lock(), lock(there, gone)); errs.KindOf(err) != errs.Conflict || errs.HintOf(err) == "" {
		t.Errorf("a new entry without its blob: %v", err)
	}
}
