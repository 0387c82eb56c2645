package operator_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/release"
	"overland/internal/trust"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

// counting counts how often each file of the signed metadata is opened.
type counting struct {
	repository.Files
	mu    sync.Mutex
	opens map[string]int
}

func (c *counting) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	c.mu.Lock()
	c.opens[name]++
	c.mu.Unlock()
	return c.Files.Read(ctx, name, limit)
}

// One promotion opens each file of metadata at most once, also in a site of many channels; the
// bench counts keys and everything else below the two folders too, with strace.
func TestAPromotionOpensEachFileOnce(t *testing.T) {
	p := begin(t)
	ref := publish(t, p, "wallet", "r1.a", "linux/amd64")
	const channels = 62
	for i := range channels {
		promote(t, p, ref, release.Channel(fmt.Sprintf("channel-%d", i)))
	}
	promote(t, p, publish(t, p, "wallet", "r2.b", "linux/amd64"), "staging")
	for _, to := range []release.Channel{"live", "live"} { // made, and found as it is
		again, err := operator.Open(p.Dir(), p.Options())
		if err != nil {
			t.Fatal(err)
		}
		c := &counting{opens: map[string]int{}}
		again.Watch(func(f repository.Files) repository.Files { c.Files = f; return c })
		n, err := again.Promote(t.Context(), operator.PromoteOptions{From: "staging", To: to})
		if err != nil || n.Version != "r2.b" {
			t.Fatalf("%+v, %v", n, err)
		}
		all := 0
		for name, opens := range c.opens {
			if all += opens; opens > 1 {
				t.Errorf("%s was opened %d times", name, opens)
			}
		}
		if all < channels || all > channels+10 {
			t.Errorf("%d opens with %d channels", all, channels)
		}
	}
}

// Two jobs of one server share what is opened, and neither progress, warnings nor passphrases.
func TestCallsAreApart(t *testing.T) {
	p := begin(t)
	if _, err := p.Keys().New("locked", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	pub, err := p.Keys().Public("locked")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	one := p.With(operator.Callbacks{Asks: keys.Asks{Passphrase: func(string) ([]byte, error) { asked++; return []byte("secret"), nil }}})
	if s, err := one.Keys().ByID(pub.ID); err != nil || s == nil || asked != 1 {
		t.Fatalf("%v, %v, asked %d times", s, err, asked)
	}
	if s, err := p.With(operator.Callbacks{}).Keys().ByID(pub.ID); err != nil || s != nil {
		t.Errorf("a key that another job has unlocked signs: %v, %v", s, err)
	}
	if one.Depot() != p.Depot() {
		t.Error("the depot was opened twice")
	}
	var said [2][]string
	for i := range said {
		p.With(operator.Callbacks{Warn: func(s string) { said[i] = append(said[i], s) }}).Warn(fmt.Sprint(i))
	}
	if len(said[0]) != 1 || len(said[1]) != 1 || said[0][0] != "0" {
		t.Errorf("warnings went astray: %q", said)
	}
}

// The metadata is opened once for all jobs, and signed with the keys that each of them may use.
func TestJobsShareTheMetadataAndNoKeys(t *testing.T) {
	p := begin(t)
	if _, _, err := operator.EnsureTrust(p, t.Context()); err != nil {
		t.Fatal(err)
	}
	pub, err := p.Keys().New("locked", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	c := &counting{opens: map[string]int{}}
	p.Watch(func(f repository.Files) repository.Files { c.Files = f; return c })
	job, err := p.Repository(t.Context()) // the first one, which can ask nobody
	if err != nil {
		t.Fatal(err)
	}
	if err := job.AddSigner(t.Context(), "channel/x", pub, 1); err != nil {
		t.Fatal(err)
	}
	change := func(o *operator.Operator, path string) error {
		r, err := o.Repository(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r.SetTargets(t.Context(), "channel/x", func(_ trust.Signed, m map[string]trust.TargetFile) error {
			m[path] = trust.TargetFile{Digest: digest.Of(nil)}
			return nil
		})
	}
	person := p.With(operator.Callbacks{Asks: keys.Asks{Passphrase: func(string) ([]byte, error) { return []byte("secret"), nil }}})
	if err := change(person, "channel/x/a"); err != nil {
		t.Errorf("a person who has the passphrase: %v", err)
	}
	if err := change(p, "channel/x/b"); errs.KindOf(err) != errs.Partial {
		t.Errorf("a job that has not: %v", err)
	}
	for name, n := range c.opens {
		if n > 1 {
			t.Errorf("%s was opened %d times", name, n)
		}
	}
}
