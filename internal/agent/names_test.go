package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/agent/follow"
	"overland/internal/agent/node"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/trust"
	"overland/internal/volume"
)

// sign makes role say of path whatever file is, as the holder of its key can without our programs.
func (w *world) sign(role, path string, file *trust.TargetFile) {
	w.t.Helper()
	must(w.t, w.Repo.SetTargets(context.Background(), role, func(_ trust.Signed, t map[string]trust.TargetFile) error {
		if file == nil {
			delete(t, path)
		} else {
			t[path] = *file
		}
		return nil
	}))
}

// promoteRaw signs that live runs app@version with that index.
func (w *world) promoteRaw(app, version string, index ocispec.Descriptor) {
	w.t.Helper()
	custom, err := json.Marshal(map[string]string{"version": version})
	must(w.t, err)
	file := trust.TargetFile{Digest: index.Digest, Size: index.Size}
	w.sign("app/"+app, "app/"+app+"/"+version, &file)
	file.Custom = custom
	w.sign("channel/live", "channel/live/"+app, &file)
}

// rename gives the release wallet@version the name app, as a hostile overland.yaml did, and signs it.
// It returns the blobs of the document.
func (w *world) rename(version, app, as string) []ocispec.Descriptor {
	w.t.Helper()
	ctx := context.Background()
	desc, err := w.Depot.Resolve(ctx, "wallet@"+version)
	must(w.t, err)
	bytes := func(d digest.Digest) []byte {
		b, err := w.Depot.Bytes(ctx, d, 1<<20)
		must(w.t, err)
		return b
	}
	put := func(b []byte) digest.Digest {
		d, err := store.PutBytes(ctx, w.Depot, b)
		must(w.t, err)
		return d
	}
	var index ocispec.Index
	must(w.t, json.Unmarshal(bytes(desc.Digest), &index))
	var m ocispec.Manifest
	must(w.t, json.Unmarshal(bytes(index.Manifests[0].Digest), &m))
	doc := bytes(m.Layers[0].Digest)
	for _, old := range []string{`"app":"wallet"`, `"version":"` + version + `"`} {
		if !strings.Contains(string(doc), old) {
			w.t.Fatalf("the document has no %s", old)
		}
	}
	doc = []byte(strings.NewReplacer(`"app":"wallet"`, `"app":"`+app+`"`, `"version":"`+version+`"`, `"version":"`+as+`"`).Replace(string(doc)))
	m.Layers[0].Digest, m.Layers[0].Size = put(doc), int64(len(doc))
	b, err := json.Marshal(m)
	must(w.t, err)
	index.Manifests[0].Digest, index.Manifests[0].Size = put(b), int64(len(b))
	b, err = json.Marshal(index)
	must(w.t, err)
	desc = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: put(b), Size: int64(len(b))}
	must(w.t, w.Depot.Tag(ctx, app+"@"+as, desc))
	w.promoteRaw(app, as, desc)
	return append(index.Manifests, desc, m.Config, m.Layers[0])
}

// A repository that calls itself overland-agent was signed and promoted, by whatever program: it does
// not become the agent of a node that runs, nor is it installed anywhere.
func TestS3ARepositoryNeverBecomesTheAgent(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.wallet(v1, "up one"))
	w.Release("wallet", v3, map[string]string{release.AgentApp: "attacker"}, nil)
	whole := w.Content("live")
	whole.Blobs = append(whole.Blobs, w.rename(v3, release.AgentApp, v3)...)
	w.Release("wallet", v2, map[string]string{"node": "up two"}, services(quick))
	w.Promote("live", "wallet", v2)

	w.o.Self = digest.Of([]byte("the agent that runs"))
	called := make(chan string, 9)
	w.o.Upgrade = func(_ context.Context, path, version string, _ digest.Digest) error {
		called <- path + " " + version
		return errors.New("not now")
	}
	a := w.open()
	defer a.Close()
	src, done, err := follow.OpenSource(w.Dir)
	must(t, err)
	defer done()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	r, err := a.Install(t.Context(), src, nodeapi.InstallOptions{})
	if err != nil || r.Outcome != nodeapi.Installed {
		t.Errorf("the other application: %+v, %v", r, err)
	}
	w.runs("wallet.node: up two")
	if problems := strings.Join(a.Status().Problems, "\n"); !strings.Contains(problems, "only Overland's own agent has that name") {
		t.Errorf("problems: %s", problems)
	}
	cancel()
	must(t, <-ran)
	select {
	case what := <-called:
		t.Errorf("handed over to %s", what)
	default:
	}
	if entries, err := os.ReadDir(w.dir + "/upgrade"); err == nil && len(entries) > 0 {
		t.Errorf("upgrade/ holds %v", entries)
	}

	// A fresh machine takes no volume with it, in front or behind.
	program := []byte("attacker")
	d := digest.Of(program)
	now, err := w.Repo.Read(t.Context())
	must(t, err)
	for _, name := range now.Names() {
		whole.Trust[name], err = now.Metadata(t.Context(), name, 1<<20)
		must(t, err)
	}
	whole.Blobs = append(whole.Blobs, ocispec.Descriptor{Digest: d, Size: int64(len(program))})
	whole.Agents = []volume.Agent{{Platform: "linux/amd64", Digest: d, Size: int64(len(program))}}
	hostile := t.TempDir() + "/hostile.volume"
	sealContent(t, hostile, whole)
	w.dir = t.TempDir() + "/fresh"
	w.Calls()
	if _, err := w.install(hostile, nodeapi.InstallOptions{Root: w.Root(), Channel: "live"}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("a volume with it: %v", err)
	}
	w.untouched()
}

// Other reserved names are not installed, whoever signed them; what else the channel runs is.
func TestS3ReservedNamesAreNotInstalled(t *testing.T) {
	w := newWorld(t)
	w.wallet(v1, "up one")
	w.rename(v1, "overland-site", v1)
	src, done, err := follow.OpenSource(w.Dir)
	must(t, err)
	defer done()
	a := w.open()
	defer a.Close()
	r, err := a.Install(t.Context(), src, nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
	if err != nil || len(r.Refused) != 1 || !strings.Contains(r.Refused[0], "overland-site is not installed") || !strings.Contains(r.Refused[0], "reserved") {
		t.Errorf("refused %q, %v", r.Refused, err)
	}
	w.runs("wallet.node: up one")
}

// Whoever carries the file does not choose what a machine follows, nor moves one that follows another.
func TestS11TheCarrierDoesNotChooseTheChannel(t *testing.T) {
	w := newWorld(t)
	w.Release("wallet", v1, map[string]string{"node": "up one"}, services(quick))
	w.Promote("live", "wallet", v1)
	w.Release("wallet", v2, map[string]string{"node": "up untested"}, services(quick))
	w.Promote("staging", "wallet", v2)
	staging := t.TempDir() + "/live.volume" // by its name it is the other one
	w.sealed("staging", staging)

	_, err := w.install(staging, nodeapi.InstallOptions{Root: w.Root()})
	if errs.KindOf(err) != errs.Untrusted || !strings.Contains(errs.HintOf(err), "--channel NAME (") || !strings.Contains(errs.HintOf(err), "is for staging") {
		t.Errorf("without a channel: %v, hint %q", err, errs.HintOf(err))
	}
	w.untouched()
	_, err = w.install(staging, nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
	if err == nil {
		t.Error("the file of one channel was installed as another")
	}
	w.untouched()
	live := t.TempDir() + "/x.volume"
	w.sealed("live", live)
	r, err := w.install(live, nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
	if err != nil || r.Channel != "live" {
		t.Fatalf("report %+v, %v", r, err)
	}
	_, err = w.install(staging, nodeapi.InstallOptions{})
	if errs.KindOf(err) != errs.Conflict || !strings.Contains(errs.HintOf(err), "--channel staging") {
		t.Errorf("another channel's file on a node: %v, hint %q", err, errs.HintOf(err))
	}
	w.runs("wallet.node: up one")
	if r, err := w.install(staging, nodeapi.InstallOptions{Channel: "staging"}); err != nil || r.Channel != "staging" {
		t.Errorf("a person's word: %+v, %v", r, err)
	}
}

// A change of channel that does not prove itself is undone whole: the node follows what it followed,
// where the next release is taken. So is one that an operator leaves for what ran before.
func TestAFailedChangeOfChannelIsUndone(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.wallet(v1, "up one"))
	follows := func(want string) {
		t.Helper()
		a := w.open()
		defer a.Close()
		b, err := os.ReadFile(filepath.Join(w.dir, node.ConfigName))
		must(t, err)
		if got := a.Status().Channel; got != want || !strings.Contains(string(b), `"channel": "`+want+`"`) {
			t.Errorf("the node follows %s, config.json says %s; want %s", got, b, want)
		}
	}
	w.Release("wallet", v2, map[string]string{"node": "crash two"}, services(quick))
	w.Promote("staging", "wallet", v2)
	r, err := w.install(w.Dir, nodeapi.InstallOptions{Channel: "staging"})
	if r.Outcome != nodeapi.RolledBack || !strings.Contains(fmt.Sprint(err), "the node follows channel live again") {
		t.Fatalf("report %+v, %v", r, err)
	}
	follows("live")
	w.runs("wallet.node: up one")

	w.Release("wallet", v3, map[string]string{"node": "up three"}, services(quick))
	w.Promote("staging", "wallet", v3)
	if r, err := w.install(w.Dir, nodeapi.InstallOptions{}); err != nil || r.Outcome != nodeapi.Unchanged {
		t.Errorf("news of the channel that was left: %+v, %v", r, err)
	}
	if _, err := w.install(w.Dir, nodeapi.InstallOptions{Channel: "staging"}); err != nil {
		t.Fatal(err)
	}
	follows("staging")
	a := w.open()
	_, err = a.Rollback(t.Context(), 0)
	must(t, errors.Join(err, a.Close()))
	follows("live")
	w.runs("wallet.node: up one")
}

// A file of another project, installed by the line that its seal printed, stops what ran before: that is said.
func TestAnotherChannelSaysWhatItStops(t *testing.T) {
	w := newWorld(t)
	files := t.TempDir()
	var said []string
	w.o.Progress = func(e progress.Event) {
		if e.Step == "stop" {
			said = append(said, e.What)
		}
	}
	apps := []string{"wallet", "chat"} // the later file has the later metadata
	for _, app := range apps {
		w.Release(app, v1, map[string]string{"node": "up " + app}, services(quick))
		w.Promote("local/"+app, app, v1)
		w.sealed("local/"+app, filepath.Join(files, app))
	}
	for _, app := range apps {
		_, err := w.install(filepath.Join(files, app), nodeapi.InstallOptions{Root: w.Root(), Channel: "local/" + app})
		must(t, err)
	}
	w.runs("chat.node: up chat")
	if want := []string{"wallet: channel local/chat does not have it; its data stays"}; !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
}

// A channel that names nothing but the agent stops what ran before: the node then runs no application.
func TestAChannelWithoutApplications(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.wallet(v1, "up one"))
	version := w.Release(release.AgentApp, "", map[string]string{release.AgentApp: "new agent"}, nil)
	w.Promote("bare", release.AgentApp, version)
	if r, err := w.install(w.Dir, nodeapi.InstallOptions{Channel: "bare"}); err != nil || r.Outcome != nodeapi.Installed || len(r.Apps) != 0 {
		t.Fatalf("report %+v, %v", r, err)
	}
	w.runs()
}

// sealed writes a volume with channel's own statements and no other channel's.
func (w *world) sealed(channel, path string) {
	w.t.Helper()
	c := w.Content(channel)
	for name := range c.Trust {
		if other := release.MetadataChannel(name); other != "" && string(other) != channel {
			delete(c.Trust, name)
		}
	}
	sealContent(w.t, path, c)
}

// judged is a world whose node runs a and b, when a has news and b is what a test makes of it.
func judged(t *testing.T) *world {
	w := newWorld(t)
	for _, app := range []string{"a", "b"} {
		w.Release(app, v1, map[string]string{"node": "up " + app + " one"}, services(quick))
		w.Promote("live", app, v1)
	}
	w.mustInstall(w.volume("one"))
	w.runs("a.node: up a one", "b.node: up b one")
	w.Release("a", v2, map[string]string{"node": "up a two"}, services(quick))
	w.Promote("live", "a", v2)
	return w
}

// misstate releases b@v2 with a document of which change has changed the first artifact's blob, and promotes it.
func (w *world) misstate(change func(blob map[string]any)) {
	w.t.Helper()
	ctx := context.Background()
	w.Release("b", v2, map[string]string{"node": "up b two"}, services(quick))
	desc, err := w.Depot.Resolve(ctx, "b@"+v2)
	must(w.t, err)
	get := func(d digest.Digest, to any) {
		b, err := w.Depot.Bytes(ctx, d, 1<<20)
		must(w.t, err)
		must(w.t, json.Unmarshal(b, to))
	}
	put := func(from any) (digest.Digest, int64) {
		b, err := json.Marshal(from)
		must(w.t, err)
		d, err := store.PutBytes(ctx, w.Depot, b)
		must(w.t, err)
		return d, int64(len(b))
	}
	var index ocispec.Index
	get(desc.Digest, &index)
	var m ocispec.Manifest
	get(index.Manifests[0].Digest, &m)
	var doc map[string]any
	get(m.Layers[0].Digest, &doc)
	change(doc["artifacts"].([]any)[0].(map[string]any)["blob"].(map[string]any))
	m.Layers[0].Digest, m.Layers[0].Size = put(doc)
	index.Manifests[0].Digest, index.Manifests[0].Size = put(m)
	desc.Digest, desc.Size = put(index)
	must(w.t, w.Depot.Tag(ctx, "b@"+v2, desc))
	w.promoteRaw("b", v2, desc)
}

// spoiled are the ways in which those who sign for b make it unfit.
func spoiled() map[string]func(w *world) {
	return map[string]func(w *world){
		"withdrawn": func(w *world) {
			w.Release("b", v2, map[string]string{"node": "up b two"}, services(quick))
			w.Promote("live", "b", v2)
			w.sign("app/b", "app/b/"+v2, nil)
		},
		"what runs is withdrawn": func(w *world) { w.sign("app/b", "app/b/"+v1, nil) },
		"signed as another": func(w *world) {
			w.sign("app/b", "app/b/"+v1, &trust.TargetFile{Digest: digest.Of([]byte("other")), Size: 5})
		},
		"no release document": func(w *world) {
			d, err := store.PutBytes(context.Background(), w.Depot, []byte(`{"schemaVersion":2}`))
			must(w.t, err)
			index := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: d, Size: 19}
			must(w.t, w.Depot.Tag(context.Background(), "b@"+v2, index))
			w.promoteRaw("b", v2, index)
		},
		"a document that nobody has": func(w *world) {
			w.promoteRaw("b", v2, ocispec.Descriptor{Digest: digest.Of([]byte("nowhere")), Size: 19})
		},
		"a program that nobody has": func(w *world) {
			w.misstate(func(blob map[string]any) { blob["digest"] = string(digest.Of([]byte("nowhere"))) })
		},
		"a program of another size": func(w *world) {
			w.misstate(func(blob map[string]any) { blob["size"] = 7 })
		},
		"a program of a petabyte": func(w *world) {
			w.misstate(func(blob map[string]any) {
				blob["size"], blob["chunks"] = int64(1)<<50, string(digest.Of([]byte("list")))
			})
		},
		"nothing for this machine": func(w *world) {
			w.Release("b", v2, map[string]string{"node linux/arm64": "up b two"}, services(quick))
			w.Promote("live", "b", v2)
		},
		"a runtime that is not here": func(w *world) {
			s := quick
			s.Runtime = "container"
			w.Release("b", v2, map[string]string{"node": "up b two"}, services(s))
			w.Promote("live", "b", v2)
		},
		"a statement that cannot be read": func(w *world) {
			w.sign("channel/live", "channel/live/b", &trust.TargetFile{Digest: digest.Of(nil), Custom: json.RawMessage(`{"version":7}`)})
		},
	}
}

func TestS16OneApplicationDoesNotStopAnother(t *testing.T) {
	for name, spoil := range spoiled() {
		t.Run(name, func(t *testing.T) {
			w := judged(t)
			spoil(w)
			a := w.open()
			defer a.Close()
			src, done, err := follow.OpenSource(w.Dir)
			must(t, err)
			defer done()
			r, err := a.Install(t.Context(), src, nodeapi.InstallOptions{})
			if err != nil || r.Outcome != nodeapi.Installed || len(r.Refused) != 1 || !strings.HasPrefix(r.Refused[0], "b stays at "+v1) {
				t.Fatalf("report %+v, %v", r, err)
			}
			w.runs("a.node: up a two", "b.node: up b one")
			if p := strings.Join(a.Status().Problems, "\n"); !strings.Contains(p, "b stays at "+v1) {
				t.Errorf("status does not say it: %q", p)
			}
			// Again, nothing changes; and when b is mended, it is taken and no longer complained of.
			if r, err := a.Install(t.Context(), src, nodeapi.InstallOptions{}); err != nil || r.Outcome != nodeapi.Unchanged {
				t.Errorf("again: %+v, %v", r, err)
			}
			w.Origin.Take = true // what the test has signed itself names no repository
			w.Release("b", v3, map[string]string{"node": "up b three"}, services(quick))
			w.Promote("live", "b", v3)
			if r, err := a.Install(t.Context(), src, nodeapi.InstallOptions{}); err != nil || len(r.Refused) > 0 {
				t.Errorf("mended: %+v, %v", r, err)
			}
			w.runs("a.node: up a two", "b.node: up b three")
			if p := a.Status().Problems; len(p) > 0 {
				t.Errorf("problems: %q", p)
			}
		})
	}
}

// On a machine that runs nothing yet the bad one is left away, and the others are installed.
func TestS16FirstInstallation(t *testing.T) {
	for name, spoil := range spoiled() {
		t.Run(name, func(t *testing.T) {
			w := judged(t)
			spoil(w)
			w.Boot()
			w.dir = t.TempDir() + "/fresh"
			a := w.open()
			defer a.Close()
			src, done, err := follow.OpenSource(w.Dir)
			must(t, err)
			defer done()
			r, err := a.Install(t.Context(), src, nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
			if err != nil || len(r.Refused) != 1 || !strings.HasPrefix(r.Refused[0], "b is not installed") {
				t.Fatalf("report %+v, %v", r, err)
			}
			w.runs("a.node: up a two")
		})
	}
}

// When none of a channel's applications can be believed, that is what is said, as before.
func TestS16NothingToBelieve(t *testing.T) {
	w := newWorld(t)
	path := w.wallet(v1, "up one")
	w.mustInstall(path)
	w.wallet(v2, "up two")
	w.sign("app/wallet", "app/wallet/"+v2, nil)
	if _, err := w.install(w.Dir, nodeapi.InstallOptions{}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("error: %v", err)
	}
	w.runs("wallet.node: up one")
}

func sealContent(t *testing.T, path string, c volume.Content) {
	t.Helper()
	_, err := volume.Seal(t.Context(), path, c, volume.Options{})
	must(t, err)
}
