package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// pull fetches url n times at once. No client reads on before each has had its first byte,
// so all are under way together.
func pull(ctx context.Context, url string, n int, size int64) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	defer client.CloseIdleConnections()
	var started sync.WaitGroup
	started.Add(n)
	all := make(chan struct{})
	go func() {
		started.Wait()
		close(all)
	}()
	g, ctx := errgroup.WithContext(ctx)
	for range n {
		g.Go(func() error {
			began := sync.OnceFunc(started.Done)
			defer began()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
			if err != nil {
				return err
			}
			res, err := client.Do(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			first := make([]byte, 1)
			if _, err := io.ReadFull(res.Body, first); err != nil {
				return err
			}
			began()
			select {
			case <-all:
			case <-ctx.Done():
				return ctx.Err()
			}
			got, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, make([]byte, 64<<10))
			if err == nil && got < size/2 {
				err = fmt.Errorf("%s: only %d bytes", url, got)
			}
			return err
		})
	}
	return g.Wait()
}

// peak returns the largest resident set that the process pid ever had, in bytes.
func peak(pid int) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0, fmt.Errorf("process %d: no VmHWM", pid)
	}
	kb, err := strconv.ParseInt(f[0], 10, 64)
	return kb << 10, err
}
