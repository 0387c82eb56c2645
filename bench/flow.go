package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"overland/internal/origin"
	"overland/internal/testkit/badlink"
)

const (
	flowSize = 100 << 20
	// flowAt is not an address that a command is taken to serve itself.
	flowAt  = "127.0.0.2:0"
	latency = 50 * time.Millisecond // of a connection's first byte
)

// flow measures what a recording does to the first byte of a large file, and how many bytes a bad
// link carries for one that gives no validator.
func (b *bench) flow(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", flowAt)
	if err != nil {
		return err
	}
	body := bytes.Repeat([]byte("overland"), flowSize/len("overland"))
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "file", time.Time{}, bytes.NewReader(body))
	})}
	go func() { _ = srv.Serve(l) }() // ends with Close
	defer srv.Close()
	if err := b.firstByte(ctx, l.Addr().String(), "on this machine"); err != nil {
		return err
	}
	behind, err := new(net.ListenConfig).Listen(ctx, "tcp", flowAt)
	if err != nil {
		return err
	}
	far := badlink.Serve(behind, badlink.To(l.Addr().String()), badlink.Faults{Latency: latency})
	defer far.Close()
	if err := b.firstByte(ctx, far.Addr(), latency.String()+" away"); err != nil {
		return err
	}
	for _, link := range []struct {
		name string
		badlink.Faults
	}{
		{"cut every 1 MB", badlink.Faults{CutEvery: 1e6}},
		{"cut every 10 MB", badlink.Faults{CutEvery: 10e6}},
		{"silent once", badlink.Faults{SilentAt: 30e6}},
	} {
		if err := b.badLink(ctx, l.Addr().String(), link.name, link.Faults); err != nil {
			return fmt.Errorf("%s: %w", link.name, err)
		}
	}
	return nil
}

// firstByte compares when curl has the first byte, and the last.
func (b *bench) firstByte(ctx context.Context, addr, where string) error {
	curl := "curl -sf -o /dev/null -w '%{time_starttransfer} %{time_total}' http://" + addr + "/file"
	var first, last [2][]float64
	for range b.rounds {
		home := filepath.Join(b.dir, "flow-"+strconv.FormatInt(time.Now().UnixNano(), 36))
		for i, prefix := range []string{"", b.overland + " --home " + home + " --quiet record --lock " + home + ".lock -- "} {
			out, err := output(ctx, b.dir, prefix+curl+" 2>/dev/null")
			if err != nil {
				return err
			}
			var f, t float64
			if _, err := fmt.Sscan(out, &f, &t); err != nil {
				return fmt.Errorf("curl says %q: %w", out, err)
			}
			first[i], last[i] = append(first[i], f), append(last[i], t)
		}
	}
	for _, list := range [][]float64{first[0], first[1], last[0], last[1]} {
		slices.Sort(list)
	}
	const ms = 1000
	b.table.add("first byte of 100 MiB, origin "+where, "recorded %.1f ms, direct %.1f ms (medians %.1f, %.1f)", "≤ 1.2 × direct",
		first[1][0]*ms, first[0][0]*ms, first[1][len(first[1])/2]*ms, first[0][len(first[0])/2]*ms)
	b.table.add("last byte of 100 MiB, origin "+where, "recorded %.2f s, direct %.2f s", "", last[1][0], last[0][0])
	return nil
}

// badLink adds how many bytes a link moves for a file that an origin gives without a validator.
func (b *bench) badLink(ctx context.Context, addr, name string, f badlink.Faults) error {
	k, err := badlink.Listen(badlink.To(addr), f)
	if err != nil {
		return err
	}
	defer k.Close()
	c := &origin.Client{Dir: b.dir, Stall: 2 * time.Second, Wait: time.Millisecond}
	defer c.CloseIdleConnections()
	a, err := c.Get(ctx, origin.Request{URL: "http://" + k.Addr() + "/file", Fixed: true})
	if err != nil {
		return err
	}
	defer a.Close()
	n := k.Counts()
	b.table.add("100 MiB over a link "+name, "%.4f × the bytes, %d connections", "≤ 1.05 × and it ends",
		float64(n.Down)/float64(a.Size), n.Conns)
	return nil
}
