package client_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/errs"
	"overland/internal/testkit/attack"
	"overland/internal/trust"
	"overland/internal/trust/client"
)

func TestOversizedMetadata(t *testing.T) {
	for name, limit := range map[string]int{
		"2.root.json": trust.MaxRoot, "timestamp.json": trust.MaxTimestamp, "1.snapshot.json": trust.MaxSnapshot, "1.targets.json": trust.MaxTargets,
	} {
		t.Run(name, func(t *testing.T) {
			p := attack.New(day0)
			p.Hashes = false
			p.Publish()
			v := newVictim(t, p)
			p.Serve = func(asked string, b []byte) ([]byte, error) {
				if asked == name || (name == "1.snapshot.json" && asked == "2.snapshot.json") {
					return make([]byte, limit+1), nil
				}
				return b, nil
			}
			v.refuses(p, trust.ErrTooLarge)
			p.Serve = nil
			v.accepts(p)
		})
	}
}

func TestEndlessDataInDirectory(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	dir := t.TempDir()
	for name, b := range p.Files() {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	v.accepts(trust.DirSource(dir))
	if err := os.Truncate(filepath.Join(dir, "timestamp.json"), 1<<40); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Refresh(context.Background(), trust.DirSource(dir), client.RefreshOptions{}); !errors.Is(err, trust.ErrTooLarge) {
		t.Fatalf("a file of 1 TiB: %v", err)
	}
}

func TestLengthInTimestampLimitsSnapshot(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	p.Serve = func(name string, b []byte) ([]byte, error) {
		if name == "1.snapshot.json" {
			b = append(b, ' ')
		}
		return b, nil
	}
	v.refuses(p, trust.ErrTooLarge)
}

func TestWrongHashOrLength(t *testing.T) {
	for _, name := range []string{"2.snapshot.json", "2.targets.json", "1.app%2Fwallet.json"} {
		for _, how := range []string{"hash", "length"} {
			t.Run(name+" "+how, func(t *testing.T) {
				p := attack.New(day0)
				p.Delegate("targets", "app/wallet", "app/wallet/*")
				p.Publish("targets", "app/wallet")
				v := newVictim(t, p)
				p.Serve = func(asked string, b []byte) ([]byte, error) {
					switch {
					case asked != name:
					case how == "length":
						b = b[:len(b)-1]
					default: // other bytes that mean the same, correctly signed
						b = append([]byte(" "), b[:len(b)-1]...)
					}
					return b, nil
				}
				_, err := v.Refresh(context.Background(), p, client.RefreshOptions{})
				if name == "1.app%2Fwallet.json" && err == nil {
					_, err = v.Targets(context.Background(), "app/wallet")
				}
				if !errors.Is(err, trust.ErrMismatch) || errs.KindOf(err) != errs.Untrusted {
					t.Fatalf("%v", err)
				}
			})
		}
	}
}

func TestMissingFiles(t *testing.T) {
	for _, name := range []string{"timestamp.json", "2.snapshot.json", "2.targets.json"} {
		p := attack.New(day0)
		v := newVictim(t, p)
		v.accepts(p)
		p.Publish("targets")
		whole := p.Files()
		p.SetFile(name, nil)
		if _, err := v.Refresh(context.Background(), p, client.RefreshOptions{}); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("without %s: %v", name, err)
		}
		p.SetFiles(whole)
		v.accepts(p)
	}
}

// stuck is a source that goes silent at the file name.
type stuck struct {
	*attack.Publisher
	name  string
	asked chan struct{}
}

func (s stuck) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	if name == s.name {
		close(s.asked)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Publisher.Metadata(ctx, name, limit)
}

func TestSlowMetadata(t *testing.T) {
	p := attack.New(day0)
	for _, name := range []string{"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"} {
		v := newVictim(t, p)
		ctx, cancel := context.WithCancel(context.Background())
		src := stuck{p, name, make(chan struct{})}
		done := make(chan error)
		go func() {
			_, err := v.Refresh(ctx, src, client.RefreshOptions{})
			done <- err
		}()
		<-src.asked
		cancel()
		if err := <-done; errs.KindOf(err) != errs.Cancelled {
			t.Fatalf("silent at %s: %v", name, err)
		}
		v.accepts(p)
	}
}

func TestGarbageFromSource(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"} {
		for _, garbage := range []string{
			"", "{", "null", "[]", "\x00\x00", `{"signed":null}`, `{"signed":{"_type":"root"}}`,
			`{"signed":{"_type":"timestamp","version":1,"meta":{"snapshot.json":null}},"signatures":[]}`,
			`{"signed":{"_type":"targets","version":1,"targets":{"a":null}},"signatures":[]}`,
			`{"signed":{"_type":"root","version":2,"keys":{"a":null},"roles":{"root":null}},"signatures":[]}`,
			"<html><body>Please log in to the guest network</body></html>",
		} {
			p := attack.New(day0)
			p.Hashes = false
			p.Publish("targets")
			v := newVictim(t, p)
			p.Serve = func(asked string, b []byte) ([]byte, error) {
				if asked == name {
					return []byte(garbage), nil
				}
				return b, nil
			}
			_, err := v.Refresh(context.Background(), p, client.RefreshOptions{})
			if errs.KindOf(err) != errs.Untrusted {
				t.Errorf("%s is %q: %v", name, garbage, err)
			}
			p.Serve = nil
			v.accepts(p)
		}
	}
}

// TestSignedNonsense is metadata with good signatures that says what go-tuf would stumble over.
func TestSignedNonsense(t *testing.T) {
	for name, spoil := range map[string]func(p *attack.Publisher){
		"timestamp of no snapshot":  func(p *attack.Publisher) { p.Timestamp.Signed.Meta = nil },
		"timestamp of a null":       func(p *attack.Publisher) { p.Timestamp.Signed.Meta["snapshot.json"] = nil },
		"timestamp of version zero": func(p *attack.Publisher) { p.Timestamp.Signed.Version = -1 },
		"root with a short key": func(p *attack.Publisher) {
			for _, k := range p.Root.Signed.Keys {
				k.Value.PublicKey = "00"
			}
			p.PublishRoot()
		},
		"root with a null key": func(p *attack.Publisher) {
			p.Root.Signed.Keys["a"] = nil
			p.PublishRoot()
		},
		"root with a null role": func(p *attack.Publisher) {
			p.Root.Signed.Roles["mirrors"] = nil
			p.PublishRoot()
		},
	} {
		p := attack.New(day0)
		v := newVictim(t, p)
		spoil(p)
		p.PublishTimestamp()
		if err := v.refuses(p, trust.ErrMismatch); err == nil {
			t.Error(name)
		}
	}
}

// TestS23PinAsksForRootsWithoutEnd is a source that has a next root for every request, each with the form of
// one, signed by nobody.
func TestS23PinAsksForRootsWithoutEnd(t *testing.T) {
	p := attack.New(day0)
	root := p.Files()["1.root.json"]
	asked := 0
	p.Serve = func(string, []byte) ([]byte, error) { asked++; return root, nil }
	c, err := client.Open(t.TempDir(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = c.Pin(ctx, p, trust.Fingerprint("sha256:"+strings.Repeat("0", 64)))
	if !errors.Is(err, trust.ErrTooMany) || errs.KindOf(err) != errs.Untrusted || asked != trust.MaxRoots {
		t.Errorf("%d requests, %v", asked, err)
	}
}
