// Command conformance wraps Overland's trust client in the verbs that the public TUF conformance
// suite speaks: init, refresh and download. It is built by tests only, and not shipped.
//
// The suite looks at plain names (root.json, timestamp.json, …) in the metadata
// directory, so what the client verified is copied there after each verb; the client's
// own files are in a folder below.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/trust"
	node "overland/internal/trust/client"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, errs.Explain(err))
		os.Exit(1) // the suite knows no other code
	}
}

type options struct {
	metadataDir, metadataURL string
	targetDir, targetURL     string
	targets                  names
}

type names []string

func (n *names) String() string     { return strings.Join(*n, ",") }
func (n *names) Set(s string) error { *n = append(*n, s); return nil }

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.StringVar(&o.metadataDir, "metadata-dir", "", "what the client verified")
	flags.StringVar(&o.metadataURL, "metadata-url", "", "where metadata is")
	flags.StringVar(&o.targetDir, "target-dir", "", "where downloads go")
	flags.StringVar(&o.targetURL, "target-base-url", "", "where targets are")
	flags.Var(&o.targets, "target-name", "what to download; may be repeated")
	if err := flags.Parse(args); err != nil {
		return err
	}
	now, err := date(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(o.metadataDir, "overland")
	c, err := node.Open(dir, node.Options{Clock: clock.At(now), Foreign: true})
	if err != nil {
		return err
	}
	defer copies(dir, o.metadataDir)
	src := source{base: o.metadataURL}
	switch flags.Arg(0) {
	case "init":
		root, err := os.ReadFile(flags.Arg(1))
		if err != nil {
			return err
		}
		return c.PinRoot(ctx, root)
	case "refresh":
		_, err := c.Refresh(ctx, src, node.RefreshOptions{})
		return err
	case "download":
		if _, err := c.Refresh(ctx, src, node.RefreshOptions{}); err != nil {
			return err
		}
		for _, name := range o.targets {
			if err := o.download(ctx, c, name); err != nil {
				return fmt.Errorf("download %s: %w", name, err)
			}
		}
		return nil
	}
	return fmt.Errorf("unknown verb %q: init, refresh or download", flags.Arg(0))
}

// date asks the date program, because faketime cannot reach a Go program's own clock.
func date(ctx context.Context) (time.Time, error) {
	out, err := exec.CommandContext(ctx, "date", "+%s").Output()
	if err != nil {
		return time.Time{}, fmt.Errorf("date +%%s: %w", err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return time.Unix(seconds, 0).UTC(), err
}

// copies puts what the client in dir holds into out under plain names, and
// removes what it no longer holds.
func copies(dir, out string) {
	want := map[string]string{}
	for v := 1; ; v++ {
		path := filepath.Join(dir, trust.WireName("root", int64(v)))
		if _, err := os.Stat(path); err != nil {
			if want["root.json"] == "" && v < 1000 {
				continue
			}
			break
		}
		want["root.json"] = path
	}
	for _, role := range []string{"timestamp.json", "snapshot.json", "targets.json"} {
		want[role] = filepath.Join(dir, role)
	}
	delegated, err := filepath.Glob(filepath.Join(dir, "roles", "*.json"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	for _, path := range delegated {
		want[filepath.Base(path)] = path
	}
	old, err := filepath.Glob(filepath.Join(out, "*.json"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	for _, path := range old {
		os.Remove(path)
	}
	for name, path := range want {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // not verified yet
		}
		if err := os.WriteFile(filepath.Join(out, name), b, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}
