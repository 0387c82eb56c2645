package runtime_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/runtime"
)

// steady is a Subject that runs and stays so.
type steady struct{ logStart int64 }

func (s steady) Watch() (runtime.Status, <-chan struct{}) {
	return runtime.Status{State: runtime.Running, PID: 77, LogStart: s.logStart}, make(chan struct{})
}

// once tries one check once, with all the time that it wants: only tests in
// faked time wait for a deadline.
func once(t *testing.T, inst runtime.Instance, c appfile.Check) runtime.Result {
	t.Helper()
	r := runtime.Result{Check: runtime.Title(c), OK: true}
	if err := runtime.Try(t.Context(), &fakeRuntime{}, inst, c, 0); err != nil {
		r.OK, r.Err = false, err.Error()
	}
	return r
}

func wantErr(t *testing.T, r runtime.Result, text string) {
	t.Helper()
	if r.OK != (text == "") || !strings.Contains(r.Err, text) {
		t.Errorf("%s: got %v %q, want %q", r.Check, r.OK, r.Err, text)
	}
}

func TestHTTPCheck(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "version r412.abc") })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/ill", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "database is gone", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", runtime.BodyLimit)+"needle")
	})
	plain, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	// A proxy of the environment is not asked.
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	inst := runtime.Instance{Expand: func(s string) (string, error) {
		return runtime.Expand(s, map[string]string{"Release.Version": "r412.abc"})
	}}
	tests := []struct {
		check appfile.Check
		err   string
	}{
		{appfile.Check{HTTP: plain.URL + "/ok"}, ""},
		{appfile.Check{HTTP: secure.URL + "/ok"}, ""},
		{appfile.Check{HTTP: plain.URL + "/ok", Status: 200, Contains: "version {{.Release.Version}}"}, ""},
		{appfile.Check{HTTP: plain.URL + "/ok", Contains: "r413"}, `no "r413" in the answer ("version r412.abc")`},
		{appfile.Check{HTTP: plain.URL + "/ok", Contains: "{{.Nothing}}"}, "unknown {{.Nothing}}"},
		{appfile.Check{HTTP: plain.URL + "/away", Status: 302}, ""},
		{appfile.Check{HTTP: plain.URL + "/away"}, "status 302"},
		{appfile.Check{HTTP: plain.URL + "/ok", Status: 204}, "status 200 instead of 204"},
		{appfile.Check{HTTP: plain.URL + "/ill"}, `status 503 ("database is gone")`},
		{appfile.Check{HTTP: plain.URL + "/ill", Status: 503}, ""},
		{appfile.Check{HTTP: plain.URL + "/long", Contains: "needle"}, `no "needle"`},
		{appfile.Check{HTTP: "http://127.0.0.1:1/"}, "connection refused"},
		{appfile.Check{HTTP: strings.Replace(secure.URL, "127.0.0.1", "localhost", 1) + "/ok"}, ""},
		{appfile.Check{HTTP: strings.Replace(plain.URL, "127.0.0.1", "in-no-hosts-file.localhost", 1) + "/ok"}, ""},
		{appfile.Check{HTTP: "gopher://127.0.0.1"}, "unsupported protocol"},
		{appfile.Check{HTTP: "http://[::1"}, "missing ']'"},
	}
	for _, test := range tests {
		wantErr(t, once(t, inst, test.check), test.err)
	}
}

func TestHTTPCheckOfAServerThatNeverAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	// Real time: the deadline is all that ends it.
	const soon = appfile.Duration(100 * time.Millisecond)
	inst := runtime.Instance{Spec: appfile.Service{SelfTest: []appfile.Check{{HTTP: "http://" + l.Addr().String(), Within: soon}}}}
	wantErr(t, runtime.SelfTest(t.Context(), &fakeRuntime{}, inst, steady{})[0], "no answer for 100ms")
}

func TestTCPCheck(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	wantErr(t, once(t, runtime.Instance{}, appfile.Check{TCP: l.Addr().String()}), "")
	wantErr(t, once(t, runtime.Instance{}, appfile.Check{TCP: strings.Replace(l.Addr().String(), "127.0.0.1", "in-no-hosts-file.localhost", 1)}), "")
	wantErr(t, once(t, runtime.Instance{}, appfile.Check{TCP: "127.0.0.1:1"}), "connection refused")
}

func TestLogCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	before := "ready for the last time\n"
	if err := os.WriteFile(path, []byte(before+"listening on :80\nhalf a li"), 0o600); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]string{
		`^listening on :\d+$`: "", "ready": "no such line", "half": "no such line", "(": "missing closing",
	} {
		err := runtime.Try(t.Context(), nil, runtime.Instance{Log: path}, appfile.Check{Log: pattern}, int64(len(before)))
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", pattern, err, want)
		}
	}
}

func TestLogCheckThroughARotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	synctest.Test(t, func(t *testing.T) {
		appendTo(t, path, strings.Repeat("before\n", 100))
		inst := runtime.Instance{Log: path, Spec: appfile.Service{SelfTest: []appfile.Check{{Log: "needle"}}}}
		result := make(chan []runtime.Result)
		go func() { result <- runtime.SelfTest(t.Context(), &fakeRuntime{}, inst, steady{}) }()
		synctest.Wait() // it has read all of it
		appendTo(t, path, "needle\n")
		if done, err := runtime.Rotate(path, runtime.Rotation{Size: 500}); !done || err != nil {
			t.Fatal(done, err)
		}
		if r := (<-result)[0]; !r.OK {
			t.Error(r)
		}
	})
}

func TestExecCheck(t *testing.T) {
	answer := func(text string, e runtime.Exit, err error) *fakeRuntime {
		return &fakeRuntime{exec: func(_ context.Context, argv []string, out io.Writer) (runtime.Exit, error) {
			if strings.Join(argv, " ") != "/bin/node --version r1" {
				return runtime.Exit{}, errs.Errorf(errs.Invalid, "argv %q", argv)
			}
			_, _ = io.WriteString(out, text)
			return e, err
		}}
	}
	long := strings.Repeat("x", 3*runtime.OutputLimit)
	tests := map[string]struct {
		rt  runtime.Runtime
		err string
	}{
		"passes":         {answer("node r1\n", fine, nil), ""},
		"far down":       {answer(long+" r1 "+long, fine, nil), ""},
		"other text":     {answer("node r0\n", fine, nil), `no "r1" in its output ("node r0") for 1m0s`},
		"exit code":      {answer("r1 oops\n", failed, nil), `exit code 1 ("r1 oops") for 1m0s`},
		"signal":         {answer("", shot, nil), "killed by signal 11"},
		"cannot run":     {answer("", runtime.Exit{}, errors.New("out of memory")), "out of memory for 1m0s"},
		"no such thing":  {answer("", runtime.Exit{}, errs.Errorf(errs.NotFound, "not there")), "not there"},
		"other runtimes": {struct{ runtime.Runtime }{}, "cannot run a program"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inst := runtime.Instance{
					Programs: map[string]string{"node": "/bin/node"},
					Expand:   func(s string) (string, error) { return runtime.Expand(s, map[string]string{"V": "r1"}) },
					Spec:     appfile.Service{SelfTest: []appfile.Check{{Exec: []string{"node", "--version", "{{.V}}"}, Contains: "{{.V}}"}}},
				}
				wantErr(t, runtime.SelfTest(t.Context(), test.rt, inst, steady{})[0], test.err)
			})
		})
	}
}

func TestHangingCheckEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &fakeRuntime{exec: func(ctx context.Context, _ []string, _ io.Writer) (runtime.Exit, error) {
			<-ctx.Done()
			return runtime.Exit{}, ctx.Err()
		}}
		inst := runtime.Instance{Spec: appfile.Service{SelfTest: []appfile.Check{{Exec: []string{"/bin/hang"}, Within: appfile.Duration(42 * sec)}}}}
		began := time.Now()
		list := runtime.SelfTest(t.Context(), rt, inst, steady{})
		if got := time.Since(began); got != 42*sec {
			t.Errorf("took %s", got)
		}
		wantErr(t, list[0], "it did not end for 42s")
		wantErr(t, list[1], "not tried")
	})
}

// supervised runs a self-test of a service with these lives and no checks but an
// exec that passes after a while.
func supervised(t *testing.T, inst runtime.Instance, passes time.Duration, lives ...life) ([]runtime.Result, time.Duration) {
	t.Helper()
	began := time.Now()
	rt := &fakeRuntime{lives: lives, exec: func(context.Context, []string, io.Writer) (runtime.Exit, error) {
		if time.Since(began) < passes {
			return failed, nil
		}
		return fine, nil
	}}
	inst.Name = "a.b"
	inst.Spec.SelfTest = append(inst.Spec.SelfTest, appfile.Check{Exec: []string{"/bin/check"}})
	s := runtime.Supervise(t.Context(), rt, inst, runtime.Options{})
	list := runtime.SelfTest(t.Context(), rt, inst, s)
	took := time.Since(began)
	s.Detach()
	return list, took
}

func TestCheckIsPolledUntilItPassesThenHeldStable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, took := supervised(t, runtime.Instance{}, 30*sec, life{})
		if r, bad := runtime.Failed(list); bad {
			t.Error(r)
		}
		if took < 35*sec || took > 37*sec {
			t.Errorf("took %s: 30 s, at most one more pause, and 5 s of being stable", took)
		}
	})
}

func TestCrashLoopIsToldByTheCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, took := supervised(t, runtime.Instance{}, time.Hour, life{d: sec, exit: failed})
		wantErr(t, list[0], "exit code 1 for 1m0s; the service ended meanwhile, last with exit code 1")
		if took != time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

func TestServiceGoneForGoodEndsTheTestEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inst := runtime.Instance{Spec: appfile.Service{Restart: appfile.Restart{Policy: "never"}}}
		list, took := supervised(t, inst, time.Hour, life{d: 3 * sec, exit: shot})
		wantErr(t, list[0], "the service is gone: killed by signal 11 (segmentation fault)")
		if took != 3*sec {
			t.Errorf("took %s", took)
		}
	})
}

func TestProgramThatCannotRunEndsTheTestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, took := supervised(t, runtime.Instance{}, 0, life{err: errs.Errorf(errs.Invalid, "not a program for this machine's CPU")})
		wantErr(t, list[0], "start a.b: not a program for this machine's CPU")
		wantErr(t, list[1], "CPU")
		if took != 0 {
			t.Errorf("took %s", took)
		}
	})
}

func TestServiceThatNeverStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, took := supervised(t, runtime.Instance{}, 0, life{err: errors.New("no memory")})
		wantErr(t, list[0], "the service did not start for 1m0s; start a.b: no memory")
		if took != time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

func TestRestartWhileHeldStableFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, took := supervised(t, runtime.Instance{}, 0, life{d: 3 * sec, exit: failed}, life{})
		wantErr(t, list[0], "")
		wantErr(t, list[1], "did not stay up for 5s: exit code 1 after 3s")
		if took != 3*sec {
			t.Errorf("took %s", took)
		}
	})
}

func TestOneFailedCheckEndsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		patient := appfile.Check{Exec: []string{"/bin/patient"}, Within: appfile.Duration(time.Hour)}
		inst := runtime.Instance{Spec: appfile.Service{SelfTest: []appfile.Check{patient, {Log: "(", Within: appfile.Duration(time.Hour)}}}}
		list, took := supervised(t, inst, time.Hour, life{})
		if first, bad := runtime.Failed(list); !bad || first != list[1] {
			t.Errorf("the check that is named is %q, not the one that failed", first)
		}
		wantErr(t, list[0], "given up: another check failed")
		wantErr(t, list[1], "missing closing")
		wantErr(t, list[2], "given up: another check failed")
		if took != 0 {
			t.Errorf("took %s", took)
		}
	})
}

func TestSelfTestEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), sec)
		defer cancel()
		rt := &fakeRuntime{exec: func(context.Context, []string, io.Writer) (runtime.Exit, error) { return failed, nil }}
		inst := runtime.Instance{Spec: appfile.Service{SelfTest: []appfile.Check{{Exec: []string{"/bin/check"}}}}}
		began := time.Now()
		list := runtime.SelfTest(ctx, rt, inst, steady{})
		if wantErr(t, list[0], "exit code 1 for 1s"); time.Since(began) != sec {
			t.Errorf("took %s", time.Since(began))
		}
	})
}

// A job that ends well before it was up for long is fine, and what it printed may be looked into.
func TestAJobThatIsDoneIsGood(t *testing.T) {
	for policy, want := range map[string]bool{"never": true, "on-failure": true, "always": false} {
		synctest.Test(t, func(t *testing.T) {
			rt := &fakeRuntime{lives: []life{{d: time.Second, exit: fine}}}
			log := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(log, []byte("migrated\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			inst := runtime.Instance{Log: log, Spec: appfile.Service{
				Restart: appfile.Restart{Policy: policy}, Stable: appfile.Duration(time.Hour), SelfTest: []appfile.Check{{Log: "migrated"}},
			}}
			s := runtime.Supervise(t.Context(), rt, inst, runtime.Options{})
			results := runtime.SelfTest(t.Context(), rt, inst, s)
			if r, bad := runtime.Failed(results); bad == want {
				t.Errorf("%s: failed %v: %v", policy, bad, r)
			}
			s.Detach()
		})
	}
}
