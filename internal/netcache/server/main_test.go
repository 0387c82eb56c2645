package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/fsx"
	"overland/internal/netcache"
	storedir "overland/internal/store/dir"
	"overland/internal/testkit/crash"
)

// TestMain also plays the other processes of the tests: OVERLAND_SHACACHE_TEST names the part.
func TestMain(m *testing.M) {
	if part := os.Getenv("OVERLAND_SHACACHE_TEST"); part != "" {
		if err := play(part, os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func other(part, dir, arg string) *exec.Cmd {
	return crash.Other("OVERLAND_SHACACHE_TEST", part, dir, arg)
}

func play(part, dir, arg string) error {
	s, err := openIn(dir, fsx.FS{})
	if err != nil {
		return err
	}
	switch part {
	case "add": // adds entries of its own for ever, and says which are acknowledged
		for i := 0; ; i++ {
			if err := s.Add(context.Background(), recordOf("k", arg+"."+strconv.Itoa(i))); err != nil {
				return err
			}
			fmt.Println(arg + "." + strconv.Itoa(i))
		}
	case "blob": // begins to store a blob, says so, and waits to be killed
		pr, pw := io.Pipe()
		go func() {
			_, _ = pw.Write(bytes.Repeat([]byte("x"), 1<<20))
			fmt.Println("written")
		}()
		_, _, err := s.PutBlob(context.Background(), pr, "", 2<<20, maxBlob)
		return err
	}
	return fmt.Errorf("no part %q", part)
}

func openIn(dir string, disk fsx.FS) (*Shelf, error) {
	depot, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{FS: disk, Reserve: -1})
	if err != nil {
		return nil, err
	}
	return Open(filepath.Join(dir, "netcache"), depot, disk)
}

func shelf(t *testing.T) *Shelf {
	t.Helper()
	s, err := openIn(t.TempDir(), fsx.FS{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// nameOf returns the sha512 of b in hex.
func nameOf(b []byte) string {
	sum := sha512.Sum512(b)
	return hex.EncodeToString(sum[:])
}

func metadata(note string) string {
	b, err := json.Marshal(map[string]string{"sha512": nameOf([]byte(note)), "note": note})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func recordOf(key, note string) Record { return Record{Key: key, Metadata: metadata(note)} }

func body(meta, sig string) []byte {
	return netcache.EncodeEntry(netcache.Entry{Metadata: meta, Signature: sig})
}

// serve serves a new shelf at /shacache and /shadir.
func serve(t *testing.T, o Options) (base string, s *Shelf) {
	t.Helper()
	s = shelf(t)
	srv := httptest.NewServer(New(s, o).Mount("/shacache", "/shadir", nil))
	t.Cleanup(srv.Close)
	return srv.URL, s
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends one request, the path as it is written, on a connection of its own.
func do(t *testing.T, c *http.Client, method, url string, body io.Reader, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if c == nil {
		c = &http.Client{}
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// certificate returns a self-signed certificate of a new key.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func rsaKey(t *testing.T) (*rsa.PrivateKey, netcache.Key) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	k, err := netcache.NewKey(private.Public(), "t")
	if err != nil {
		t.Fatal(err)
	}
	return private, k
}
