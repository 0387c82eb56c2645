// Command hello is the service that tests install: it answers every request with its version.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8099", "address")
	version := flag.String("version", "", "what to answer")
	broken := flag.Bool("broken", false, "answer with an error")
	deaf := flag.Bool("deaf", false, "ignore SIGTERM")
	flag.Parse()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		for range stop {
			fmt.Println("hello: stopping")
			if !*deaf {
				os.Exit(0)
			}
		}
	}()
	fmt.Println("hello: version", *version)
	log.Fatal(http.ListenAndServe(*listen, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if *broken {
			fmt.Println("hello: the flux capacitor is missing")
			http.Error(w, "broken", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "version %s process %d", *version, os.Getpid())
	})))
}
