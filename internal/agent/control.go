package agent

import (
	"path/filepath"
)

// SocketName is the control socket's place below the node's directory.
const SocketName = "run/agent.sock"

func socketPath(dir string) string { return filepath.Join(dir, filepath.FromSlash(SocketName)) }
