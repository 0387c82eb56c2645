package publisher_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/agent"
	"overland/internal/agent/follow"
	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/runtime"
	"overland/internal/site"
	"overland/internal/testkit/publisher"
	"overland/internal/trust"
)

const v1, v2 = "r1.aaaaaaaaaaaa", "r2.bbbbbbbbbbbb"

var node = map[string]appfile.Service{"node": {Artifact: "node", Runtime: "process", Stable: appfile.Duration(time.Millisecond)}}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve runs the operator's site and returns its URL and how to end it.
func serve(t *testing.T, o *publisher.Operator) (string, func()) {
	return serveIn(t, o.Dir, site.Options{})
}

// serveIn runs the site in dir and returns its URL and how to end it.
func serveIn(t *testing.T, dir string, o site.Options) (string, func()) {
	t.Helper()
	info, err := site.Init(dir)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan string, 1)
	ran := make(chan error, 1)
	o.Listen, o.Ready, o.Grace = "127.0.0.1:0", func(addr string) { ready <- addr }, time.Millisecond
	go func() { ran <- site.Run(ctx, dir, o) }()
	select {
	case addr := <-ready:
		return info.URL(addr), func() {
			cancel()
			must(t, <-ran)
		}
	case err := <-ran:
		t.Fatal(err)
	}
	return "", nil
}

func until(t *testing.T, cond func() bool) {
	t.Helper()
	end := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("it did not happen within 30 s")
		}
	}
}

func TestNodeFollowsASite(t *testing.T) {
	defer goleak.VerifyNone(t)
	o := publisher.New(t, t.TempDir(), nil)
	o.Release("wallet", v1, map[string]string{"node": "up one"}, node)
	o.Promote("live", "wallet", v1)
	url, stop := serve(t, o)
	m := &publisher.Machine{}
	dir := filepath.Join(t.TempDir(), "node")
	options := agent.Options{
		Runtimes: runtime.Set{"process": m}, Platform: "linux/amd64", Poll: 20 * time.Millisecond,
	}
	a, err := agent.Open(dir, options)
	must(t, err)
	src, done, err := follow.OpenSource(url)
	must(t, err)
	r, err := a.Install(context.Background(), src, nodeapi.InstallOptions{Root: o.Root(), Sites: []string{url}}) // it has one channel
	must(t, err)
	must(t, done())
	if r.Channel != "live" {
		t.Errorf("follows %q, and the operator has only live", r.Channel)
	}
	if !r.Freshness.Known || r.Outcome != nodeapi.Installed {
		t.Errorf("report: %+v", r)
	}
	must(t, a.Close())

	ctx, cancel := context.WithCancel(context.Background())
	a, err = agent.Open(dir, options)
	must(t, err)
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	until(t, func() bool { return a.Status().Last != nil })
	o.Release("wallet", v2, map[string]string{"node": "up two"}, node)
	o.Promote("live", "wallet", v2)
	until(t, func() bool { return a.Status().Good == 2 })
	stop()
	until(t, func() bool { return a.Status().Last.Error != "" }) // the source is gone, and it goes on serving
	cancel()
	must(t, <-ran)
	must(t, a.Close())
	if got := m.Running(); !slices.Equal(got, []string{"wallet.node: up two"}) {
		t.Errorf("runs %q", got)
	}
}

// Of several channels the source cannot choose: a person is told which there are.
func TestASiteWithSeveralChannels(t *testing.T) {
	defer goleak.VerifyNone(t)
	o := publisher.New(t, t.TempDir(), nil)
	o.Release("wallet", v1, map[string]string{"node": "up one"}, node)
	o.Promote("live", "wallet", v1)
	o.Promote("staging", "wallet", v1)
	url, stop := serve(t, o)
	defer stop()
	m := &publisher.Machine{}
	a, err := agent.Open(filepath.Join(t.TempDir(), "node"), agent.Options{Runtimes: runtime.Set{"process": m}, Platform: "linux/amd64"})
	must(t, err)
	src, done, err := follow.OpenSource(url)
	must(t, err)
	_, err = a.Install(context.Background(), src, nodeapi.InstallOptions{Root: o.Root(), Sites: []string{url}})
	if errs.KindOf(err) != errs.Untrusted || !strings.Contains(errs.HintOf(err), "live; staging") {
		t.Errorf("got %v, hint %q", err, errs.HintOf(err))
	}
	must(t, done())
	must(t, a.Close())
	if got := m.Running(); len(got) > 0 {
		t.Errorf("runs %q", got)
	}
}

// Nodes that know only a near site install what was released far away, also when that site is gone.
func TestNodesInstallFromANearSite(t *testing.T) {
	defer goleak.VerifyNone(t)
	o := publisher.New(t, t.TempDir(), nil)
	o.Release("wallet", v1, map[string]string{"node": "up one"}, node)
	o.Promote("live", "wallet", v1)
	far, stopFar := serve(t, o)
	copied := t.TempDir()
	install := func(near string) nodeapi.Report {
		t.Helper()
		m := &publisher.Machine{}
		a, err := agent.Open(filepath.Join(t.TempDir(), "node"), agent.Options{Runtimes: runtime.Set{"process": m}, Platform: "linux/amd64"})
		must(t, err)
		defer a.Close()
		src, done, err := follow.OpenSource(near)
		must(t, err)
		r, err := a.Install(context.Background(), src, nodeapi.InstallOptions{Root: o.Root(), Channel: "live"})
		must(t, err)
		must(t, done())
		if !r.Freshness.Known || r.Outcome != nodeapi.Installed {
			t.Errorf("report: %+v", r)
		}
		return r
	}
	near, stopNear := serveIn(t, copied, site.Options{Upstreams: []string{far}, Root: trust.Fingerprint(o.Root())})
	install(near)
	o.Release("wallet", v2, map[string]string{"node": "up two"}, node)
	o.Promote("live", "wallet", v2)
	stopNear()
	near, stopNear = serveIn(t, copied, site.Options{Upstreams: []string{far}}) // whose metadata it is remembers
	second := install(near)
	stopFar()
	third := install(near)
	stopNear()
	near, stopNear = serveIn(t, copied, site.Options{Upstreams: []string{far}})
	fourth := install(near)
	stopNear()
	for _, r := range []nodeapi.Report{third, fourth} {
		if !reflect.DeepEqual(r.Apps, second.Apps) {
			t.Errorf("with the far site gone: %+v, want %+v", r.Apps, second.Apps)
		}
	}
}

// What one signer returned reaches nodes through a site in between, with the signature and the bytes.
func TestS10ANearSiteCarriesTheReturn(t *testing.T) {
	defer goleak.VerifyNone(t)
	o := publisher.New(t, t.TempDir(), nil)
	o.Release("wallet", v1, map[string]string{"node": "up one"}, node)
	o.Promote("live", "wallet", v1)
	o.Protect("live", 2)
	o.Release("wallet", v2, map[string]string{"node": "up two"}, node)
	o.Promote("live", "wallet", v2)
	o.GoBack("live", "wallet")
	far, stopFar := serve(t, o)
	defer stopFar()
	near, stopNear := serveIn(t, t.TempDir(), site.Options{Upstreams: []string{far}, Root: trust.Fingerprint(o.Root())})
	defer stopNear()
	m := &publisher.Machine{}
	a, err := agent.Open(filepath.Join(t.TempDir(), "node"), agent.Options{Runtimes: runtime.Set{"process": m}, Platform: "linux/amd64"})
	must(t, err)
	defer a.Close()
	src, done, err := follow.OpenSource(near)
	must(t, err)
	_, err = a.Install(context.Background(), src, nodeapi.InstallOptions{Root: o.Root(), Channel: "live"})
	must(t, err)
	must(t, done())
	if got := m.Running(); !slices.Equal(got, []string{"wallet.node: up one"}) {
		t.Errorf("runs %q", got)
	}
	if r := a.Status().Returned; len(r) != 1 || r[0].Undone != v2 || len(r[0].By) == 0 {
		t.Errorf("status: %+v", r)
	}
}

func TestUnchangedPollWritesNothing(t *testing.T) {
	defer goleak.VerifyNone(t)
	o := publisher.New(t, t.TempDir(), nil)
	o.Release("wallet", v1, map[string]string{"node": "up one"}, node)
	o.Promote("live", "wallet", v1)
	url, stop := serve(t, o)
	defer stop()
	dir := filepath.Join(t.TempDir(), "node")
	errWrite := errors.New("written")
	strict := false
	a, err := agent.Open(dir, agent.Options{
		Runtimes: runtime.Set{"process": &publisher.Machine{}}, Platform: "linux/amd64",
		FS: fsx.FS{Before: func(op fsx.Op) error {
			if strict {
				t.Errorf("an unchanged poll does %v", op)
				return errWrite
			}
			return nil
		}},
	})
	must(t, err)
	defer a.Close()
	src, done, err := follow.OpenSource(url)
	must(t, err)
	defer done()
	_, err = a.Install(context.Background(), src, nodeapi.InstallOptions{Root: o.Root(), Channel: "live"})
	must(t, err)
	before := tree(t, dir)
	strict = true
	for range 3 {
		r, err := a.Install(context.Background(), src, nodeapi.InstallOptions{})
		if err != nil || r.Outcome != nodeapi.Unchanged {
			t.Errorf("poll: %+v, %v", r, err)
		}
	}
	strict = false
	if after := tree(t, dir); !slices.Equal(before, after) {
		t.Errorf("the disk changed:\n%q\n%q", before, after)
	}
}

func tree(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			list = append(list, fmt.Sprint(path, info.Size(), info.ModTime().UnixNano()))
		}
		return err
	}))
	return list
}
