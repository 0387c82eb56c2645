package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/cli"
)

// The flags of site run reach the cache that it serves.
func TestFlagsOfTheCache(t *testing.T) {
	t.Setenv("GOSUMDB", "off")
	const mod = "/example.org/x/@v/v1.0.0.mod"
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "module example.org/x\n") }))
	defer origin.Close()
	dir := filepath.Join(t.TempDir(), "site")
	for _, c := range []struct {
		flag         string
		read, posted int
	}{
		{"--cache-offline", 503, 403}, // nothing is held yet
		{"--cache-size=1GB", 200, 403},
		{"--cache-writes=open", 200, 201},
	} {
		ctx, stop := context.WithCancel(t.Context())
		lines, stderr := io.Pipe()
		ended := make(chan int, 1)
		go func() {
			ended <- cli.Run(ctx, cli.Env{
				Args: []string{
					"site", "run", dir, "--listen", "127.0.0.1:0", "--cache-listen", "127.0.0.1:0", "--cache-upstream", "go=" + origin.URL, c.flag,
				},
				Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: stderr, Getenv: func(string) string { return "" },
			})
			stderr.Close()
		}()
		said := bufio.NewScanner(lines)
		face := ""
		for face == "" && said.Scan() {
			_, face, _ = strings.Cut(said.Text(), "overland cache env ")
		}
		go func() { _, _ = io.Copy(io.Discard, lines) }() // ends with Run
		if face == "" {
			t.Fatalf("%s: it does not say where the cache is", c.flag)
		}
		tr := &http.Transport{}
		client := &http.Client{Transport: tr}
		res, err := client.Get(face + "/go" + mod)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.read {
			t.Errorf("%s: read %d", c.flag, res.StatusCode)
		}
		if res, err = client.Post(face+"/shacache", "application/octet-stream", bytes.NewReader([]byte("egg"))); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.posted {
			t.Errorf("%s: posted %d", c.flag, res.StatusCode)
		}
		tr.CloseIdleConnections()
		stop()
		<-ended
	}
}
