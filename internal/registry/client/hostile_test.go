package client_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/image"
	"overland/internal/registry/client"
	"overland/internal/store/mem"
)

// What a registry names, where an upload goes on, whom to ask for a pass, a redirect, is asked for nothing when it is a service
// of the pusher's machine.
func TestARegistryLeadsNowhereNearer(t *testing.T) {
	var reached atomic.Int32
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		w.WriteHeader(http.StatusCreated)
	}))
	defer inner.Close()
	var s mem.Store
	l, err := image.PutLayer(t.Context(), &s, time.Unix(0, 0), func(l *image.Layer) error {
		return l.Add(image.Entry{Name: "motd", Size: 3}, strings.NewReader("tea"))
	})
	if err != nil {
		t.Fatal(err)
	}
	w, err := image.Put(t.Context(), &s, image.Image{Platform: "linux/amd64", Layers: []image.Step{{Made: l}}})
	if err != nil {
		t.Fatal(err)
	}
	for what, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"where an upload goes on": func(w http.ResponseWriter, r *http.Request) {
			switch r.Method {
			case http.MethodGet:
			case http.MethodPost:
				w.Header().Set("Location", inner.URL+"/admin")
				w.WriteHeader(http.StatusAccepted)
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				http.Redirect(w, r, inner.URL+"/admin", http.StatusTemporaryRedirect)
			}
		},
		"who gives passes": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Www-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="x"`, inner.URL))
			w.WriteHeader(http.StatusUnauthorized)
		},
	} {
		t.Run(what, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(http.HandlerFunc(answer))
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			srv.StartTLS()
			defer srv.Close()
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
			to := strings.TrimPrefix(srv.URL, "https://") + "/wallet"
			_, err := client.Push(t.Context(), &s, to, "r1", []ocispec.Descriptor{w.Descriptor}, client.Options{CA: ca})
			if err == nil || reached.Load() != 0 {
				t.Errorf("%v; the inner service was asked %d times", err, reached.Load())
			}
			reached.Store(0)
		})
	}
}
