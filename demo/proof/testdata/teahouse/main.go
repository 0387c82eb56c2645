// Command teahouse serves the menu of a tea house and a front end that reads it.
package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"flag"
	"io/fs"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/yuin/goldmark"
	"golang.org/x/sync/errgroup"
)

//go:embed dist
var dist embed.FS

//go:embed menu.md
var menu []byte

func main() {
	listen := flag.String("listen", "127.0.0.1:7411", "address to serve on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *listen); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, listen string) error {
	var page bytes.Buffer
	if err := goldmark.Convert(menu, &page); err != nil {
		return err
	}
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(files))
	mux.HandleFunc("/menu", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page.Bytes()) })
	srv := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return srv.Close()
	})
	return g.Wait()
}
