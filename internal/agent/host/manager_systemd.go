package host

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

const systemdUnit = `%s
[Unit]
Description=Overland agent
After=network.target local-fs.target
# A machine far away must never be given up on.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=%s supervise --state %s
WorkingDirectory=%s
# Only the supervisor is stopped: the services that the agent runs stay up over a restart or an upgrade of the agent.
KillMode=process
Restart=always
RestartSec=1
TimeoutStopSec=120
Delegate=yes
OOMPolicy=continue
OOMScoreAdjust=-500
LimitNOFILE=1048576

[Install]
WantedBy=multi-user.target
`

type systemd struct{ run Command }

func (systemd) file(dir string) file {
	q := systemdQuote
	return file{
		path: "/etc/systemd/system/" + ServiceName + ".service",
		text: fmt.Sprintf(systemdUnit, marker, q(filepath.Join(dir, "agent/good", Program)), q(dir),
			strings.ReplaceAll(dir, "%", "%%")),
		mode: 0o644,
	}
}

// systemdQuote returns s, which CheckDir accepts, as one word of an ExecStart line
// (systemd.service(5), "COMMAND LINES").
func systemdQuote(s string) string {
	s = strings.ReplaceAll(s, "%", "%%")
	if strings.ContainsAny(s, " ;") {
		return `"` + s + `"`
	}
	return s
}

func (systemd) boot() (link, to string) {
	const dir, name = "/etc/systemd/system/", ServiceName + ".service"
	return dir + "multi-user.target.wants/" + name, dir + name
}

func (m systemd) ctl(ctx context.Context, args ...string) error {
	_, err := m.run(ctx, "systemctl", args...)
	return err
}

func (m systemd) running(ctx context.Context) bool {
	return m.ctl(ctx, "is-active", "--quiet", ServiceName+".service") == nil
}

func (m systemd) enabled(ctx context.Context) bool {
	return m.ctl(ctx, "is-enabled", "--quiet", ServiceName+".service") == nil
}

func (m systemd) reload(ctx context.Context) error { return m.ctl(ctx, "daemon-reload") }

func (m systemd) enable(ctx context.Context) error {
	return m.ctl(ctx, "enable", ServiceName+".service")
}

func (m systemd) start(ctx context.Context) error {
	return m.ctl(ctx, "start", ServiceName+".service")
}

func (m systemd) restart(ctx context.Context) error {
	return m.ctl(ctx, "restart", ServiceName+".service")
}

func (m systemd) stop(ctx context.Context) error { return m.ctl(ctx, "stop", ServiceName+".service") }

func (m systemd) disable(ctx context.Context) error {
	return m.ctl(ctx, "disable", ServiceName+".service")
}
