package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"overland/internal/agent/node"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/release"
	"overland/internal/trust"
)

const (
	configName = "config.json"
	configMax  = 64 << 10 // bytes
)

// readConfig reads the settings that a person or provisioning wrote. A missing file is fs.ErrNotExist.
func readConfig(path string) (node.Settings, error) {
	file, err := os.Open(path)
	if err != nil {
		return node.Settings{}, err
	}
	defer file.Close()
	return decodeConfig(file)
}

func decodeConfig(r io.Reader) (node.Settings, error) {
	var s node.Settings
	b, err := fsx.Read(r, "settings", configMax)
	if err != nil {
		return s, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, errs.E(errs.Invalid, err)
	}
	return s, checkSettings(s)
}

func checkSettings(s node.Settings) error {
	if s.Channel != "" {
		if _, err := release.ParseChannel(s.Channel); err != nil {
			return err
		}
	}
	if s.Root != "" {
		if _, err := trust.ParseFingerprint(s.Root); err != nil {
			return errs.E(errs.Invalid, err)
		}
	}
	for _, site := range s.Sites {
		if u, err := url.Parse(site); err != nil || u.Scheme != "https" || u.Host == "" {
			return errs.Hint(errs.Errorf(errs.Invalid, "site %q: not an https address", site), "write it like https://10.0.0.1:8443#sha256:PIN")
		}
	}
	for _, dir := range s.Watch {
		if _, err := filepath.Match(dir, ""); err != nil || !filepath.IsAbs(dir) {
			return errs.Errorf(errs.Invalid, "watch %q: not an absolute path or pattern", dir)
		}
	}
	return nil
}

// loadConfig takes over config.json. A damaged file changes nothing: what was in force stays, and the status says so.
func (a *Agent) loadConfig() {
	path := filepath.Join(a.dir, configName)
	s, err := readConfig(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		a.problem("config", "")
		return
	case err != nil:
		a.problem("config", fmt.Sprintf("%s cannot be used (%v): the settings from before stay in force; mend it, or delete it and run: overland-agent install", path, err))
		return
	}
	a.problem("config", "")
	if err := a.node.Update(func(st *node.State) { st.Settings = s }); err != nil {
		a.problem("config", fmt.Sprintf("%s could not be taken over: %v", path, err))
	}
}

// saveSettings makes s what the node follows, in its state and in config.json. Equal settings are not written.
func (a *Agent) saveSettings(s node.Settings) error {
	old := a.node.State().Settings
	path := filepath.Join(a.dir, configName)
	have, err := readConfig(path)
	if equalSettings(s, old) && err == nil && equalSettings(s, have) {
		return nil
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := a.node.Update(func(st *node.State) { st.Settings = s }); err != nil {
		return err
	}
	if err := a.o.FS.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	a.problem("config", "")
	return nil
}

func equalSettings(a, b node.Settings) bool {
	return a.Channel == b.Channel && a.Root == b.Root && slices.Equal(a.Sites, b.Sites) && slices.Equal(a.Watch, b.Watch)
}

// merge returns s as o changes it.
func merge(s node.Settings, o nodeapi.InstallOptions) (node.Settings, error) {
	if o.Channel != "" {
		s.Channel = o.Channel
	}
	if o.Root != "" {
		fp, err := trust.ParseFingerprint(o.Root)
		if err != nil {
			return s, errs.E(errs.Invalid, err)
		}
		s.Root = string(fp)
	}
	if o.Sites != nil {
		s.Sites = o.Sites
	}
	if o.Watch != nil {
		s.Watch = o.Watch
	}
	return s, checkSettings(s)
}
