package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/release"
	"overland/internal/trust"
)

// ConfigName is the file with what the node follows, in its directory.
const ConfigName = "config.json"

const configMax = 64 << 10 // bytes

func decodeConfig(r io.Reader) (Settings, error) {
	var s Settings
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

func checkSettings(s Settings) error {
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

// LoadConfig takes over config.json when somebody has changed it; else the state decides, and what it
// could not write into the file before is written now. A damaged file changes nothing: the settings
// from before stay in force, and Problems says so.
func (n *Node) LoadConfig() {
	path := filepath.Join(n.dir, ConfigName)
	b, err := fsx.ReadFile(path, configMax)
	if errors.Is(err, fs.ErrNotExist) {
		n.Problem("config", "")
		return
	}
	is := digest.Of(b)
	if err == nil && is == n.State().Config {
		n.writeSettings()
		return
	}
	var s Settings
	if err == nil {
		s, err = decodeConfig(bytes.NewReader(b))
	}
	if err != nil {
		n.Problem("config", fmt.Sprintf("%s cannot be used (%v): the settings from before stay in force; mend it, or delete it and run: overland-agent install", path, err))
		return
	}
	n.Problem("config", "")
	err = n.Update(func(st *State) {
		st.Config = is
		if st.Intent != nil && !equalSettings(st.Settings, s) {
			st.Intent.Followed = nil // a person's word came later
		}
		st.Settings = s
	})
	if err != nil {
		n.Problem("config", fmt.Sprintf("%s could not be taken over: %v", path, err))
	}
}

// Follow makes s what the node follows, in its state and in config.json. Equal settings are not
// written.
func (n *Node) Follow(s Settings) error {
	if err := n.Update(func(st *State) { st.Settings = s }); err != nil {
		return err
	}
	return n.writeConfig()
}

// writeConfig writes the state's settings into config.json, where people read and change them, and
// notes that this content is the node's own: a change of the file by somebody else is told by it.
func (n *Node) writeConfig() error {
	st := n.State()
	path := filepath.Join(n.dir, ConfigName)
	have, err := fsx.ReadFile(path, configMax)
	if errors.Is(err, fs.ErrNotExist) && equalSettings(st.Settings, Settings{}) {
		return nil
	}
	said, bad := decodeConfig(bytes.NewReader(have))
	if err != nil || bad != nil || !equalSettings(said, st.Settings) {
		if have, err = json.MarshalIndent(st.Settings, "", "  "); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		have = append(have, '\n')
		if err := n.o.FS.WriteFile(path, have, 0o644); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	n.Problem("config", "")
	return n.Update(func(st *State) { st.Config = digest.Of(have) })
}

// writeSettings is writeConfig for settings that are in force already: a file that cannot be written
// is a problem to report.
func (n *Node) writeSettings() {
	if err := n.writeConfig(); err != nil {
		n.Problem("config", fmt.Sprintf("the node follows channel %s, and its %s could not be written: %v", n.State().Settings.Channel, ConfigName, err))
	}
}

func equalSettings(a, b Settings) bool {
	return a.Channel == b.Channel && a.Root == b.Root && slices.Equal(a.Sites, b.Sites) && slices.Equal(a.Watch, b.Watch)
}

// With returns s as o changes it. Settings that do not hold are errs.Invalid.
func (s Settings) With(o nodeapi.InstallOptions) (Settings, error) {
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
