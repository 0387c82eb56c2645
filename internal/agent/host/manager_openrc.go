package host

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

const openrcScript = `#!/sbin/openrc-run
%s

name="Overland agent"
description="Keeps this machine's services as its channel says"
supervisor=supervise-daemon
command=%s
command_args=%s
pidfile="/run/${RC_SVCNAME}.pid"
output_log=%s
error_log=%s
respawn_delay=1
respawn_max=0
# Only the supervisor is stopped: the services that the agent runs stay up over a restart or an upgrade of the agent.
rc_cgroup_cleanup="no"

depend() {
	need localmount
	use net logger
	after bootmisc firewall
}
`

type openrc struct{ run Command }

func (openrc) file(dir string) file {
	q := shellQuote
	log := q(filepath.Join(dir, "log", "agent.log"))
	return file{
		path: "/etc/init.d/" + ServiceName,
		// command_args is split again by OpenRC, so the directory is quoted twice.
		text: fmt.Sprintf(openrcScript, marker, q(filepath.Join(dir, "agent/good", Program)),
			q("supervise --state "+shellQuote(dir)), log, log),
		mode: 0o755,
	}
}

// shellQuote returns s as one POSIX shell word.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@,") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (openrc) boot() (link, to string) {
	return "/etc/runlevels/default/" + ServiceName, "/etc/init.d/" + ServiceName
}

func (m openrc) service(ctx context.Context, verb string) error {
	_, err := m.run(ctx, "rc-service", ServiceName, verb)
	return err
}

func (m openrc) running(ctx context.Context) bool { return m.service(ctx, "status") == nil }

func (m openrc) enabled(ctx context.Context) bool {
	out, err := m.run(ctx, "rc-update", "show", "default")
	if err != nil {
		return false
	}
	for line := range strings.Lines(out) {
		if name, _, _ := strings.Cut(line, "|"); strings.TrimSpace(name) == ServiceName {
			return true
		}
	}
	return false
}

func (m openrc) reload(context.Context) error { return nil }

func (m openrc) enable(ctx context.Context) error {
	_, err := m.run(ctx, "rc-update", "add", ServiceName, "default")
	return err
}

func (m openrc) start(ctx context.Context) error   { return m.service(ctx, "start") }
func (m openrc) restart(ctx context.Context) error { return m.service(ctx, "restart") }
func (m openrc) stop(ctx context.Context) error    { return m.service(ctx, "stop") }

func (m openrc) disable(ctx context.Context) error {
	_, err := m.run(ctx, "rc-update", "del", ServiceName, "default")
	return err
}
