package pypi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"sync"

	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/record"
)

const configLimit = 1 << 20 // bytes of what pip prints

// Config names the index: an absolute http or https URL, below which projects are. It
// may hold a name and a password.
type Config struct{ Index string }

// Machine returns the protocol for the index that pip itself would use; getter is as for New. pip
// is asked before the first fetch: until then, and in a replay, only the lock is needed.
func Machine(getter record.Getter) *Protocol {
	var mu sync.Mutex
	var known *Config
	return &Protocol{getter: getter, config: func(ctx context.Context) (Config, error) {
		mu.Lock()
		defer mu.Unlock()
		if known == nil {
			c, err := MachineConfig(ctx)
			if err != nil {
				return c, err
			}
			known = &c
		}
		return *known, nil
	}}
}

// MachineConfig returns the index that pip itself would use. pip config prints a configured index;
// the built-in one is in pip's help, as the default of the option, where pip hides passwords.
func MachineConfig(ctx context.Context) (Config, error) {
	out, err := pip(ctx, "config", "list")
	if err != nil {
		return Config{}, err
	}
	c, err := parseConfig(bytes.NewReader(out))
	if c.Index != "" || err != nil {
		return c, err
	}
	if out, err = pip(ctx, "install", "--help"); err != nil {
		return c, err
	}
	return parseHelp(out)
}

// Installed reports whether this machine has a pip that can be asked.
func Installed() bool { return pipCommand() != nil }

// pipCommand returns the command that is this machine's pip.
func pipCommand() []string {
	for _, t := range [][]string{{"pip"}, {"pip3"}, {"python3", "-m", "pip"}} {
		if _, err := exec.LookPath(t[0]); err == nil {
			return t
		}
	}
	return nil
}

func pip(ctx context.Context, args ...string) ([]byte, error) {
	t := append(pipCommand(), "--disable-pip-version-check", "--no-color")
	if len(t) == 2 {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "pip is needed to find its index, and is not on this machine"), "install pip")
	}
	out, err := tool.Ask(ctx, tool.Question{
		Argv: append(t, args...), Keep: []string{"PIP_", "VIRTUAL_ENV"},
		Set: []string{"COLUMNS=10000", "PYTHONIOENCODING=utf-8", "PYTHONSAFEPATH=1"}, // no line of the help is broken
	})
	if err != nil {
		return nil, errs.Hint(errs.E(errs.Invalid, err), "install pip, or see what it says when run by hand")
	}
	return out, nil
}

// parseConfig reads what "pip config list" prints: NAME='VALUE', once for each place. A command's
// own section is stronger than [global], and the environment is stronger than both.
func parseConfig(r io.Reader) (Config, error) {
	lines := bufio.NewScanner(fsx.Limit(r, configLimit))
	found := map[string]string{}
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok && len(value) > 1 {
			if quote := value[:1]; (quote == "'" || quote == `"`) && strings.HasSuffix(value, quote) {
				found[name] = value[1 : len(value)-1]
			}
		}
	}
	if err := lines.Err(); err != nil {
		return Config{}, errs.E(errs.Invalid, fmt.Errorf("pip config: %w", err))
	}
	for _, name := range []string{":env:.index-url", "install.index-url", "global.index-url"} {
		if s := found[name]; s != "" {
			c := Config{s}
			return c, c.check()
		}
	}
	return Config{}, nil
}

var defaultIndex = regexp.MustCompile(`--index-url <url>[^(]*\(default:? ([^\s()]+)\)`)

// parseHelp finds the default of the index in pip's help.
func parseHelp(b []byte) (Config, error) {
	m := defaultIndex.FindSubmatch(b)
	if m == nil {
		return Config{}, errs.Hint(errs.Errorf(errs.Invalid, "pip does not say where it fetches from"), "pip config set global.index-url URL")
	}
	c := Config{string(m[1])}
	return c, c.check()
}

func (c Config) check() error {
	u, err := url.Parse(c.Index)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return errs.Hint(errs.Errorf(errs.Invalid, "the index of pip is not an http or https URL"), "pip config list")
	}
	return nil
}

// page returns the address of what the index says of a project, without a password.
func (c Config) page(project string) *url.URL {
	u, err := url.Parse(c.Index)
	if err != nil {
		panic("pypi: a configuration that was never checked")
	}
	u.User = nil
	return u.JoinPath(project + "/")
}

// ask returns it as it is asked for at u: the index and what is at the same address get the index's
// password. It does not stand in an address, which is printed.
func (c Config) ask(it record.Item, u *url.URL) record.Item {
	index, err := url.Parse(c.Index)
	if err == nil && index.User != nil && index.Scheme == u.Scheme && index.Host == u.Host {
		word, _ := index.User.Password()
		it.Header = it.Header.Clone()
		it.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(index.User.Username()+":"+word)))
	}
	it.Upstream = u.String()
	return it
}

// Env returns the settings, NAME=VALUE, of a pip that goes through base, the address of this
// protocol's mount, and does not look for a newer pip by itself.
func (p *Protocol) Env(base string) []string {
	return []string{"PIP_INDEX_URL=" + strings.TrimRight(base, "/") + "/simple/", "PIP_DISABLE_PIP_VERSION_CHECK=1"}
}
