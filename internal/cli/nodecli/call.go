package nodecli

import (
	"fmt"
	"os"
	"path/filepath"

	"overland/internal/agent/host"
)

// systemDir is where a node keeps everything unless told otherwise.
const systemDir = "/var/lib/overland"

// provisionedRoot is where provisioning may put the fingerprint of the root to pin.
const provisionedRoot = "/etc/overland/root.fingerprint"

// provisionedChannel is where it may put the name of the channel to follow.
const provisionedChannel = "/etc/overland/channel"

// call is one command line, read.
type call struct {
	dir    string // the node's directory, absolute
	volume string

	sites         stringList
	source        string
	root          string
	channel       string
	service       string
	watch         stringList
	offline       bool
	retry         bool
	switchChannel bool
	fore          bool
	noStart       bool
	yes           bool
	json          bool
	purge         bool
	follow        bool
	raw           bool
	stop          bool
	lines         int
	chatter       bool
	kind          host.Kind
}

// check makes the values of flags usable.
func (c *call) check() (err error) {
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return err
	}
	if err := host.CheckDir(c.dir); err != nil {
		return err
	}
	if c.volume != "" {
		// The agent that runs has another working directory.
		if c.volume, err = filepath.Abs(c.volume); err != nil {
			return err
		}
	}
	if c.source != "" {
		if c.source, err = filepath.Abs(c.source); err != nil {
			return err
		}
	}
	var ok bool
	if c.kind, ok = host.ParseKind(c.service); !ok {
		return fmt.Errorf("--service %s: not one of auto, systemd, openrc, none", c.service)
	}
	if c.noStart && c.fore {
		return fmt.Errorf("--no-start and --foreground exclude each other")
	}
	if c.noStart && (c.service == "" || c.service == "auto") {
		c.kind = host.DetectImage("")
	}
	return nil
}

// defaultDir returns OVERLAND_DIR; or the node to which this very program belongs; or the system's.
func defaultDir() string {
	if dir := os.Getenv("OVERLAND_DIR"); dir != "" {
		return dir
	}
	if exe, err := os.Executable(); err == nil {
		if dir, ok := host.NodeOf(exe); ok {
			return dir
		}
	}
	return systemDir
}
