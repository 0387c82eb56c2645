package apt

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"overland/internal/ecosystem/tool"
	"overland/internal/httpx"
)

// Name is the protocol's name in locks.
const Name = "apt"

// Tool is apt-get.
func Tool() tool.Tool {
	return tool.Tool{
		Name:    Name,
		Command: "apt-get",
		Record:  forSession,
		Serve:   forCache,
		Line:    shellLine,
	}
}

func forSession(ctx context.Context, s tool.Session) (*tool.Client, error) {
	if !tool.Installed("apt-get") {
		return nil, nil
	}
	o := Options{Locked: !s.Recording}
	if s.Etc != "" {
		o.Dir = filepath.Join(s.Etc, "apt")
	}
	var own settings
	if s.Recording || s.Runs { // verifying alone starts no tool
		own = ownSettings(ctx)
	}
	sources, err := own.sources(cmp.Or(o.Dir, etc))
	if !s.Recording && s.Runs { // verifying alone needs this machine's keys
		sources, err = LockedSources(ctx, s.Lock, s.Blobs, sources), nil
	}
	if err != nil {
		return nil, err
	}
	if s.Recording && own.anyDate {
		for i := range sources {
			sources[i].AnyDate = true
		}
	}
	p, err := New(sources, o)
	if err != nil {
		return nil, err
	}
	client := &tool.Client{Protocol: p, Addresses: p.addresses(), Environ: func(at tool.Place) ([]string, error) {
		return p.Setup(filepath.Join(at.Dir, "apt"), at.Proxy, at.Authority, os.Getenv("APT_CONFIG"))
	}}
	for _, s := range sources {
		client.Unrecorded = append(client.Unrecorded, s.onDisk()...)
		far := slices.DeleteFunc(slices.Clone(s.URIs), func(raw string) bool { _, id := parseURI(raw); return id == "" })
		if s.unproved() && len(far) > 0 {
			client.Unproved = append(client.Unproved, fmt.Errorf("apt trusts %s without a signature", httpx.RedactedText(strings.Join(far, " "))))
		}
	}
	return client, nil
}

// onDisk returns an error for each URI of s that apt reads from the disk.
func (s Source) onDisk() (list []error) {
	for _, raw := range s.URIs {
		switch scheme, _, _ := strings.Cut(raw, ":"); scheme {
		case "file", "copy", "cdrom":
			list = append(list, fmt.Errorf("apt reads %s from the disk: a replay lacks it", raw))
		}
	}
	return list
}

// settings are what this machine's configuration of apt says, and the file that APT_CONFIG names.
type settings struct {
	list, parts string // where sources are, when it is not the usual place; "" = there
	anyDate     bool   // lists that have expired are taken
}

func ownSettings(ctx context.Context) (own settings) {
	out, err := tool.Ask(ctx, tool.Question{
		Argv: []string{"apt-config", "shell", "list", "Dir::Etc::sourcelist/f", "parts", "Dir::Etc::sourceparts/d", "date", "Acquire::Check-Valid-Until"},
		Keep: []string{"APT_CONFIG"},
	})
	if err != nil {
		return own // apt says it
	}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, "'")
		switch name {
		case "list":
			if own.list = filepath.Clean(value); own.list == filepath.Join(etc, sourcesList) {
				own.list = ""
			}
		case "parts":
			if own.parts = filepath.Clean(value); own.parts == filepath.Join(etc, sourcesParts) {
				own.parts = ""
			}
		case "date":
			own.anyDate = value != "" && !truth(value)
		}
	}
	return own
}

// sources returns the entries of the sources; dir is the usual place.
func (own settings) sources(dir string) ([]Source, error) {
	return readAll(cmp.Or(own.list, filepath.Join(dir, sourcesList)), cmp.Or(own.parts, filepath.Join(dir, sourcesParts)))
}

// forCache opens the archives of this machine's sources. An upstream that is given is a mirror in
// place of one of them, or a whole line of a sources.list beside them.
func forCache(_ context.Context, s tool.Serving) (*tool.Server, error) {
	sources, err := MachineSources()
	if err != nil {
		return nil, err
	}
	for _, own := range s.Upstreams {
		if strings.HasPrefix(own, "deb") {
			more, err := ParseSource(own)
			if err != nil {
				return nil, fmt.Errorf("upstream %q: %w", httpx.RedactedText(own), err)
			}
			sources = append(sources, more...)
			continue
		}
		if sources, err = Redirect(sources, own); err != nil {
			return nil, err
		}
	}
	p, err := New(sources, Options{History: s.Cache})
	if err != nil {
		return nil, err
	}
	return &tool.Server{Protocol: p, Below: p.Below}, nil
}

// shellLine makes the cache apt's proxy: the machine's sources stay as they are. With a freeze it
// turns the check of Valid-Until off.
func shellLine(f tool.Face) string {
	u, err := url.Parse(f.Base)
	if err != nil || u.Path != "" {
		return "" // a proxy has an address and no path
	}
	settings := ""
	if f.Freeze != "" {
		u.User = url.User(f.Freeze)
		settings = ` Acquire::Check-Valid-Until "false";`
	}
	return fmt.Sprintf(`echo 'Acquire::http::Proxy "%s";%s' > /etc/apt/apt.conf.d/99overland && apt-get update`, u, settings)
}
