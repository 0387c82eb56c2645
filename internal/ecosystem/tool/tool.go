package tool

import (
	"context"
	"net/url"
	"os/exec"
	"strings"

	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/store"
)

// Tool is a program that fetches, with what speaks its protocol.
type Tool struct {
	Name    string // of the protocol: in locks, and where it is mounted
	Command string // the program whose settings say where things come from: "apt-get"

	// Record opens the protocol for a command whose requests are recorded or replayed; nil =
	// the tool fetches nothing here.
	Record func(ctx context.Context, s Session) (*Client, error)
	// Serve opens the protocol for a cache that other machines use.
	Serve func(ctx context.Context, s Serving) (*Server, error)
	// Line returns the shell command that points another machine's tool at
	// a cache; "" when there is none.
	Line func(f Face) string

	// Caches returns settings, NAME=VALUE, with which the tool has a cache of its own below the
	// folder dir. They are for every session, whether the tool is there or not; nil = there are
	// none, or Client.Environ has them. With logins the tool keeps the user's; else dir is for
	// somebody who must not know them.
	Caches func(dir string, logins bool) []string
	// Certificates are the variables that name a file with the certificates that the tool trusts.
	Certificates []string
	// Idle reports whether a session requests key by itself: alone it is not an input of a
	// build. nil = there is no such key.
	Idle func(key string) bool
}

// Session is what a Tool is opened with for a command.
type Session struct {
	Getter    record.Getter // answers the protocol's requests
	Recording bool          // else what is asked for comes from Lock
	Runs      bool          // a command runs; else Lock is only verified
	Lock      *lockfile.Lock
	Blobs     store.Opener // of Lock
	WorkDir   string       // the command's folder; "" = this one
	Etc       string       // where the machine's settings are; "" = /etc
}

// Client is a Tool that is pointed at a session.
type Client struct {
	Protocol  record.Protocol
	Addresses []Address // where a proxy answers by the protocol too: for clients that know of no other address
	Unproved  []error   // what the tool is told to take without a proof
	// Unrecorded is what the tool reads past a recorder, and is in no lock.
	Unrecorded []error
	// Environ returns the settings, NAME=VALUE, that point the tool at p; nil = there are none.
	Environ func(p Place) ([]string, error)
	// Beside returns the key of a small thing that other commands of the tool ask for where this one
	// asked for key: it is recorded too. "" = there is none; nil = there never is.
	Beside func(key string) string
	// Lacking returns what the project needs according to its own files, and l has not, by names for
	// people, sorted: other commands of the tool would ask for it. nil = nobody knows.
	Lacking func(l *lockfile.Lock) []string
}

// Address is a URL below which a protocol answers.
type Address struct {
	Base     string // http or https
	Protocol record.Protocol
}

// Place is where a session has put things.
type Place struct {
	Authority string   // a file with the authority of the proxy's certificates
	Proxy     string   // the URL of the session's proxy, without a slash at the end
	Mount     string   // the URL of the protocol, without a slash at the end
	Dir       string   // a folder for the session's files; several tools share it
	Environ   []string // the command's environment, before the session adds to it
	OwnCaches bool     // the tool gets an empty cache in Dir
}

// Cache is what a Tool may ask of the cache that serves it.
type Cache interface {
	record.Getter
	record.History
}

// Serving is what a Tool is opened with for a cache.
type Serving struct {
	Upstreams []string // in place of what the machine's own tool is configured for; empty = ask that one
	Here      bool     // the tool is on this machine
	Cache     Cache
}

// Server is a Tool that a cache serves.
type Server struct {
	Protocol record.Protocol
	Mount    string // the folder below which it is served; "" = the protocol's name
	// Below returns the path, below the protocol's mount, of a whole URL that the
	// tool asks its proxy for; "" when it is not the protocol's. nil = the tool does
	// not use the cache as its proxy.
	Below func(u *url.URL) string
}

// Face is a cache as other machines see it.
type Face struct {
	Base   string // its URL, without a slash at the end
	Freeze string // the state to see; "" = the newest
}

// Mount returns the URL of the protocol that is mounted at name, without a slash at the end.
func (f Face) Mount(name string) string {
	if f.Freeze != "" {
		return f.Base + "/at/" + f.Freeze + "/" + name
	}
	return f.Base + "/" + name
}

// Host returns the host of f, with its port when there is one.
func (f Face) Host() string {
	_, host, _ := strings.Cut(f.Base, "://")
	host, _, _ = strings.Cut(host, "/")
	return host
}

// Installed reports whether the program called name is on this machine.
func Installed(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}
