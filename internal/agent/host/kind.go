package host

import (
	"os"
	"path/filepath"
)

// Kind is what starts services on a machine.
type Kind string

// The kinds of machine.
const (
	Systemd Kind = "systemd"
	OpenRC  Kind = "openrc"
	None    Kind = "none" // a container, or an init that Overland does not know
)

// Detect returns what manages services on the machine whose file system is at root ("" =
// this one). A service manager counts only when it is running: a container image that merely
// holds systemd's files is None.
func Detect(root string) Kind {
	at := func(path string) bool {
		_, err := os.Stat(filepath.Join("/", root, path))
		return err == nil
	}
	switch {
	case at("run/systemd/system"):
		return Systemd
	case at("run/openrc/softlevel") && at("sbin/openrc-run"):
		return OpenRC
	}
	return None
}

// DetectImage returns what will manage services on the machine whose file system is at root once it
// runs: by the first program, or by what is installed.
func DetectImage(root string) Kind {
	init, err := filepath.EvalSymlinks(filepath.Join("/", root, "sbin/init"))
	at := func(path string) bool {
		_, err := os.Lstat(filepath.Join("/", root, path))
		return err == nil
	}
	switch {
	case err == nil && filepath.Base(init) == "systemd":
		return Systemd
	case err == nil && filepath.Base(init) == "openrc-init", at("sbin/openrc-run"), at("usr/sbin/openrc-run"):
		return OpenRC
	case at("lib/systemd/systemd"), at("usr/lib/systemd/systemd"):
		return Systemd
	}
	return None
}

// ParseKind returns the Kind named s; "auto" and "" detect it.
func ParseKind(s string) (Kind, bool) {
	switch Kind(s) {
	case "", "auto":
		return Detect(""), true
	case Systemd, OpenRC, None:
		return Kind(s), true
	}
	return "", false
}
