package cli_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"overland/internal/testkit/pack"
)

// registries starts a Python index and a Rust registry, with a package "tea" each, at $REGISTRIES,
// and gives the script what pip and cargo need; "registries stop" ends them.
func registries(ts *testscript.TestScript, neg bool, args []string) {
	stop, _ := ts.Value(registriesKey{}).(*func())
	if neg || stop == nil || len(args) > 1 || len(args) == 1 && args[0] != "stop" {
		ts.Fatalf("usage: registries [stop]")
	}
	if len(args) == 1 {
		(*stop)()
		return
	}
	python := pack.PyPI{Files: map[string][]byte{
		"tea-1.0-py3-none-any.whl": pack.Wheel("tea", "1.0", "WORD = 'tea'\n", "milk"), "milk-1.0.tar.gz": pack.Sdist("milk", "1.0", "WORD = 'milk'\n"),
	}}
	rust := pack.Crates{
		pack.NewCrate("tea", "1.0.0", "pub fn place() -> &'static str { milk::place() }\n", "milk"),
		pack.NewCrate("milk", "1.0.0", "pub fn place() -> &'static str { std::panic::Location::caller().file() }\n"),
	}
	mux := http.NewServeMux()
	for path, h := range map[string]http.Handler{"/simple/": python, "/files/": python, "/index/": rust, "/dl/": rust} {
		mux.Handle(path, h)
	}
	// Not at 127.0.0.1, which a session takes for the command's own.
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.2:0")
	ts.Check(err)
	srv := httptest.NewUnstartedServer(mux)
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	*stop = srv.Close
	ts.Defer(srv.Close)
	ts.Setenv("REGISTRIES", srv.URL)
	env, err := pack.SparseEnv(context.Background())
	ts.Check(err)
	for name, value := range env {
		ts.Setenv(name, value)
	}
	if _, set := os.LookupEnv("RUSTUP_HOME"); !set { // the script has a HOME of its own
		ts.Setenv("RUSTUP_HOME", filepath.Join(os.Getenv("HOME"), ".rustup"))
	}
}

type registriesKey struct{}
