package record_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store"
	"overland/internal/store/mem"
)

// steps is a protocol that has everything, and notes what it is asked for.
type steps struct {
	record.Protocol
	list  []string
	ahead bool  // somebody asks the witness ahead
	check error // what Check and Witness return
	vouch error
}

func (s *steps) note(step string) { s.list = append(s.list, step) }

// held returns a Lookup that says its name.
func held(name string) record.Lookup {
	return func(context.Context, string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(name)), nil
	}
}

func nameOf(ctx context.Context, have record.Lookup) string {
	r, err := have(ctx, "")
	if err != nil {
		return err.Error()
	}
	b, _ := io.ReadAll(r)
	return string(b)
}

func (s *steps) Locate(ctx context.Context, it record.Item, have record.Lookup) (record.Item, error) {
	s.note("locate by " + nameOf(ctx, have))
	it.Upstream = "https://origin.example/" + it.Key
	return it, nil
}

func (s *steps) Check(ctx context.Context, _ record.Item, body io.ReadSeeker, have record.Lookup) (lockfile.Proof, error) {
	b, _ := io.ReadAll(body)
	s.note("check " + string(b) + " by " + nameOf(ctx, have))
	return lockfile.Proof{Kind: "sum", Value: "own"}, s.check
}

func (s *steps) Witness(_ context.Context, _ record.Item, p lockfile.Proof) (lockfile.Proof, error) {
	s.note("witness")
	p.Value += " and a witness"
	return p, s.vouch
}

func (s *steps) AskAhead(ctx context.Context, _ record.Item) {
	s.note("ask ahead")
	s.ahead = true
	<-ctx.Done()
	time.Sleep(time.Second) // unwinding takes a moment
	s.ahead = false
}

func (*steps) Resolve(_ context.Context, it record.Item, _ record.Lookup) (record.Item, error) {
	return it, nil
}

func (*steps) Identify(context.Context, record.Item, record.Lookup) (digest.Digest, error) {
	return "", errs.Errorf(errs.NotFound, "nothing")
}

func (*steps) Binds(context.Context, string, record.Lookup) ([]string, error) { return nil, nil }

func (s *steps) ReadAhead(context.Context, record.Item, record.Lookup) { s.note("read ahead") }

// acquisition returns one of content, whose Keep notes the entry's proof.
func acquisition(t *testing.T, s *steps, content string) *record.Acquisition {
	t.Helper()
	path := filepath.Join(t.TempDir(), "body")
	return &record.Acquisition{
		Protocol: s, Item: record.Item{Protocol: "steps", Key: "it"}, Have: held("have"), Where: held("where"), Store: &mem.Store{},
		Get: func(_ context.Context, r origin.Request) (*origin.Answer, error) {
			synctest.Wait() // who asks ahead does so now
			s.note("get " + r.URL)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				return nil, err
			}
			f, err := os.Open(path)
			return &origin.Answer{Body: f, Size: int64(len(content)), MediaType: "text/plain", URL: r.URL, Header: http.Header{}}, err
		},
		Keep: func(_ context.Context, a *record.Arrival) error {
			s.note("keep " + a.Entry.Proof.Value)
			if s.ahead {
				t.Error("somebody still asks ahead")
			}
			return nil
		},
	}
}

func wantSteps(t *testing.T, s *steps, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, s.list); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

const located = "https://origin.example/it"

func TestFetchInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &steps{}
		if err := acquisition(t, s, "x").Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantSteps(t, s, "locate by where", "ask ahead", "get "+located, "check x by have", "witness", "keep own and a witness", "read ahead")
	})
}

// With Late the bytes are held before the witness, whom nobody asked ahead, has said anything.
func TestFetchWithALateWitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &steps{}
		q := acquisition(t, s, "x")
		q.Late, q.Where = true, nil
		q.Keep = func(ctx context.Context, a *record.Arrival) error {
			s.note("keep " + a.Entry.Proof.Value)
			err := a.Witness(ctx)
			s.note("then " + a.Entry.Proof.Value)
			return err
		}
		if err := q.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantSteps(t, s, "locate by have", "get "+located, "check x by have", "keep own", "witness", "then own and a witness", "read ahead")
	})
}

// hasty is a protocol whose Check takes long.
type hasty struct{ *steps }

func (h hasty) Glance(_ record.Item, body io.ReadSeeker) (bool, error) {
	b, _ := io.ReadAll(body)
	h.note("glance at " + string(b))
	return true, nil
}

// What takes long is done beside the client of a recording, and not of a cache.
func TestFetchWithALateCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &steps{}
		q := acquisition(t, s, "x")
		q.Protocol, q.Late, q.Where = hasty{s}, true, nil
		q.Keep = func(ctx context.Context, a *record.Arrival) error {
			s.note("keep " + a.Entry.Proof.Value)
			err := a.Witness(ctx)
			s.note("then " + a.Entry.Proof.Value)
			return err
		}
		if err := q.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantSteps(t, s, "locate by have", "get "+located, "glance at x", "keep ", "check x by have", "witness", "then own and a witness", "read ahead")

		s.list, s.check = nil, errs.Errorf(errs.Untrusted, "damaged")
		if err := q.Fetch(t.Context()); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("error %v", err)
		}
		wantSteps(t, s, "locate by have", "get "+located, "glance at x", "keep ", "check x by have", "then own")

		s.list, s.check, q.Late = nil, nil, false
		if err := q.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantSteps(t, s, "locate by have", "ask ahead", "get "+located, "check x by have", "witness", "keep own and a witness", "witness", "then own and a witness and a witness", "read ahead")
	})
}

// What a lock has stays as it is, and asks no witness; other bytes are not looked at any further.
func TestFetchWhatIsLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &steps{}
		q := acquisition(t, s, "x")
		locked := lockfile.Entry{
			Protocol: "steps", Key: "it", Status: 200, Blob: digest.Of([]byte("x")), Size: 1, MediaType: "text/old",
			Proof: lockfile.Proof{Kind: "sum", Value: "locked"},
		}
		q.Locked = &locked
		var kept lockfile.Entry
		q.Keep = func(_ context.Context, a *record.Arrival) error {
			kept = a.Entry
			return a.Witness(t.Context())
		}
		if err := q.Fetch(t.Context()); err != nil || kept != locked {
			t.Errorf("kept %+v, %v", kept, err)
		}
		wantSteps(t, s, "locate by where", "get "+located, "check x by have", "read ahead")

		s.list, locked.Blob = nil, digest.Of([]byte("y"))
		changed := (*record.ChangedError)(nil)
		if err := q.Fetch(t.Context()); !errors.As(err, &changed) || errs.KindOf(err) != errs.Conflict || changed.Got != digest.Of([]byte("x")) {
			t.Errorf("got %v", err)
		}
		wantSteps(t, s, "locate by where", "get "+located)
	})
}

// Nothing is held that is not proved, and nothing read ahead of what is not held.
func TestFetchStopsWhereAStepFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := errs.Errorf(errs.Untrusted, "bad")
		all := []string{"locate by where", "ask ahead", "get " + located, "check x by have", "witness", "keep own and a witness"}
		for n, s := range map[int]*steps{4: {check: bad}, 5: {vouch: bad}, 6: {}} {
			q := acquisition(t, s, "x")
			if n == 6 {
				q.Keep = func(_ context.Context, a *record.Arrival) error {
					s.note("keep " + a.Entry.Proof.Value)
					return bad
				}
			}
			if err := q.Fetch(t.Context()); !errors.Is(err, bad) || s.ahead {
				t.Errorf("%d: %v, asked ahead %v", n, err, s.ahead)
			}
			wantSteps(t, s, all[:n]...)
		}
	})
}

// A copy runs the same steps, and a web page is not one.
func TestAdopt(t *testing.T) {
	s := &steps{}
	q := acquisition(t, s, "")
	adopt := func(content string) error {
		s.list = nil
		d, err := store.PutBytes(t.Context(), q.Store.(*mem.Store), []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		b, err := q.Store.(*mem.Store).Open(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		return q.Adopt(t.Context(), b, d, "text/plain")
	}
	if err := adopt("x"); err != nil {
		t.Error(err)
	}
	wantSteps(t, s, "check x by have", "witness", "keep own and a witness", "read ahead")
	const page = "<!DOCTYPE html>"
	if err := adopt(page); errs.KindOf(err) != errs.Unavailable || len(s.list) != 0 {
		t.Errorf("a page: %v, %q", err, s.list)
	}
	q.Item.HTML = true
	if err := adopt(page); err != nil {
		t.Errorf("a page that is wanted: %v", err)
	}
}
