package nodecli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"overland/internal/agent/control"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/progress"
)

// hostile are words of a service, a file name or a release that a terminal would obey, or that a
// person would take for ours.
var hostile = []string{
	"\x1b[2J\x1b[Hall is well", "\x1b]52;c;ZXZpbA==\x07", "\u009b2J", "\x9b2J", "name\rall is well", "x\nservice wallet running",
	"user\u202etxt.exe", "\u2066a\u2069", "a\u200bb", "\x1b[8mhidden", "\x00\x08\x7f",
}

// obeys returns the first character of s that a terminal obeys or that hides something; 0 = none.
func obeys(s string) rune {
	for _, r := range strings.ToValidUTF8(s, "\x1b") {
		if r != '\n' && !unicode.IsGraphic(r) {
			return r
		}
	}
	return 0
}

// fill puts s into every string of v, and something into the rest, so that all of it is printed.
func fill(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), s)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), s)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1e9, 0)))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), s)
			}
		}
	case reflect.String:
		v.SetString(s)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	}
}

// Everything that a node prints of others, with every hostile word in every place.
func TestS22WhatOthersSayIsPrintedForPeople(t *testing.T) {
	for _, bad := range hostile {
		var status nodeapi.Status
		var report nodeapi.Report
		fill(reflect.ValueOf(&status).Elem(), bad)
		fill(reflect.ValueOf(&report).Elem(), bad)
		report.Outcome = nodeapi.RolledBack
		for what, show := range map[string]func(e env){
			"status": func(e env) {
				printStatus(e, status, nodeapi.AgentVersions{Refused: []nodeapi.RefusedVersion{{Reason: bad}}})
			},
			"status --json":  func(e env) { _ = writeJSON(e.out, status) },
			"install":        func(e env) { _, _ = finish(e, &call{}, report, nil) },
			"install --json": func(e env) { _, _ = finish(e, &call{json: true}, report, nil) },
			"history": func(e env) {
				var events []nodeapi.Event
				fill(reflect.ValueOf(&events).Elem(), bad)
				dir := t.TempDir()
				agentSaying(t, dir, nodeapi.Response{Events: events})
				if _, err := history(t.Context(), e, &call{dir: dir}, nil); err != nil {
					t.Error(err)
				}
			},
			"an error": func(e env) { complain(e, errs.Hint(errors.New(bad), "%s", bad)) },
			"a note":   func(e env) { e.say("service %s", bad) },
			"progress": func(e env) {
				for _, screen := range []bool{false, true} {
					b := progress.NewBar(e.err, progress.Options{Screen: screen})
					b.Show(progress.Event{Step: bad, What: bad})
					b.Show(progress.Event{Step: bad, What: bad + "2", Note: bad, Done: 1, Total: 3})
				}
			},
		} {
			var out bytes.Buffer
			show(env{out: &out, err: &out})
			got := strings.ReplaceAll(out.String(), "\r\x1b[K", "") // a bar's own
			if r := obeys(got); r != 0 {
				t.Errorf("%s of %q prints %q: %q", what, bad, r, got)
			}
			if strings.Contains(got, "\nservice wallet") || out.Len() == 0 {
				t.Errorf("%s of %q: a line that is not ours: %q", what, bad, got)
			}
		}
	}
}

// agentSaying answers requests below dir as an agent does, with r.
func agentSaying(t *testing.T, dir string, r nodeapi.Response) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, control.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(c).ReadString('\n')
			_ = json.NewEncoder(c).Encode(r)
			_ = c.Close()
		}
	}()
}

// On a terminal a log is shown, elsewhere it is passed on as it is.
func TestS22LogsOnATerminal(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "w.log")
	text := strings.Join(hostile, "\n") + "\n\x1b[32mgreen\x1b[0m\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	agentSaying(t, dir, nodeapi.Response{Status: &nodeapi.Status{Running: true, Services: []nodeapi.Service{{Name: "w.w", Log: log}}}})
	for _, tt := range []struct {
		screen, raw, clean bool
	}{{true, false, true}, {true, true, false}, {false, false, false}} {
		var out bytes.Buffer
		if _, err := logs(t.Context(), env{out: &out, err: &out, screen: tt.screen}, &call{dir: dir, lines: 50, raw: tt.raw}, []string{"w.w"}); err != nil {
			t.Fatal(err)
		}
		if r := obeys(out.String()); (r == 0) != tt.clean || !tt.clean && out.String() != text {
			t.Errorf("%+v: %q in %q", tt, r, out.String())
		}
		if tt.clean && !strings.HasSuffix(out.String(), "\ngreen\n") {
			t.Errorf("a colour: %q", out.String())
		}
	}
}
