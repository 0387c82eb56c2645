package nodecli

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"overland/internal/errs"
)

func jsonFlag(c *call, f *flag.FlagSet) { f.BoolVar(&c.json, "json", false, "") }

func rootFlag(c *call, f *flag.FlagSet) { f.StringVar(&c.root, "root", "", "") }

// verbs returns every command, in the order in which help lists them.
func verbs() []verb {
	return []verb{
		{
			name: "install", short: "install, or upgrade to, what a volume, directory or site holds",
			usage: "[--volume FILE | --dir-source DIR | --site URL...] [--root FINGERPRINT] [--channel NAME [--switch-channel]] [--offline] " +
				"[--retry] [--watch DIR]... [--service auto|systemd|openrc|none] [--foreground | --no-start] [--json]",
			long: `Verifies everything from the root of trust to each program, places the agent as a service of this machine, starts
the channel's services, self-tests them, and goes back to what ran before when they fail. Repeating it changes nothing.

The first installation pins the root of trust: by --root, by ` + provisionedRoot + `, or by a
person who compares the fingerprint that is shown. It also says which channel this machine follows: by --channel, by
` + provisionedChannel + `, or by a person who types it. Without any of them it refuses (exit 4): whoever
carries the source chooses neither.

  --volume      a volume file, or its first part; "sh FILE install" passes it
  --dir-source  a depot directory, for example on a stick; the node looks there again from now on
  --site        a site's URL with its pinned key, https://10.0.0.1:8443#sha256:PIN; the node follows it from now on.
                May be repeated: they are asked in that order, and replace those that the node followed before
  --channel     the channel to follow; default: the one the node follows, or the only one that a site has
  --switch-channel
                follow --channel though the node follows another one: what that does not name is stopped. Without it
                a person at a terminal is asked. A switch that fails goes back to the channel from before, too
  --offline     check expiry against the time when the source was sealed, not today's: "freshness unknown"
  --retry       also try what failed its self-test here before
  --watch       a directory where volume files may appear (a stick); may be repeated
  --service     what starts the agent at boot; none = nothing does
  --foreground  stay, as a container's first process: SIGTERM stops the services; when nothing can be installed from
                the source, that is reported and what is installed already runs
  --no-start    start nothing and ask no service manager, as in the chroot of an image: the first boot starts it`,
			example: []string{
				"install --volume wallet.volume --root sha256:5b2c… --channel local/wallet",
				"install --site https://10.0.0.1:8443#sha256:9f1e… --root sha256:5b2c… --channel live",
			},
			run: install,
			flags: func(c *call, f *flag.FlagSet) {
				rootFlag(c, f)
				jsonFlag(c, f)
				f.Var(&c.sites, "site", "")
				f.StringVar(&c.source, "dir-source", "", "")
				f.StringVar(&c.channel, "channel", "", "")
				f.StringVar(&c.service, "service", "auto", "")
				f.Var(&c.watch, "watch", "")
				f.BoolVar(&c.switchChannel, "switch-channel", false, "")
				f.BoolVar(&c.offline, "offline", false, "")
				f.BoolVar(&c.retry, "retry", false, "")
				f.BoolVar(&c.fore, "foreground", false, "")
				f.BoolVar(&c.noStart, "no-start", false, "")
				f.BoolVar(&c.yes, "yes", false, "")
			},
		},
		{
			name: "status", usage: "[--json]", short: "show what runs, since when, and what is wrong",
			long:    "Asks the running agent; without one, says what the disk says. Exit code 5 when no agent runs, 3 when a service is not up.",
			example: []string{"status", "status --json"}, run: status, flags: jsonFlag,
		},
		{
			name: "logs", usage: "SERVICE [-n LINES] [-f] [--raw]", short: "show the last lines of a service's log",
			long: "SERVICE is APP.SERVICE as in status. -n sets how many lines (default 50); -f goes on until Ctrl-C. On a terminal\n" +
				"colours are left out, and what a terminal would obey is shown as an escape (\\u001b); --raw prints the bytes as they\n" +
				"are, as it is done for a file or another program.",
			example: []string{"logs wallet.node -n 100", "logs wallet.node -f"}, run: logs, args: [2]int{1, 1},
			flags: func(c *call, f *flag.FlagSet) {
				f.IntVar(&c.lines, "n", 50, "")
				f.BoolVar(&c.follow, "f", false, "")
				f.BoolVar(&c.raw, "raw", false, "")
			},
		},
		{
			name: "history", usage: "[--json]", short: "show what was installed, rolled back and refused, and why",
			long:    "Oldest first.",
			example: []string{"history"}, run: history, flags: jsonFlag,
		},
		{
			name: "rollback", usage: "[GENERATION] [--json]", short: "go back to the good generation before this one",
			long: "Switches by the same protocol as install: what does not prove itself is taken back. The channel still decides: " +
				"the node takes the next new state of its channel. While a new generation is being tried, rollback ends that, and what " +
				"ran before runs again.",
			example: []string{"rollback", "rollback 3"}, run: rollback, flags: jsonFlag, args: [2]int{0, 1},
		},
		{
			name: "uninstall", usage: "[--purge [--yes]]", short: "stop the services and remove what install made",
			long: "The data of the services and their logs stay unless --purge is given; it lists what it removes and asks. " +
				"Without a terminal --purge needs --yes. Links are not followed, and what is mounted there stays: exit code 3 names it.",
			example: []string{"uninstall", "uninstall --purge --yes"}, run: uninstall,
			flags: func(c *call, f *flag.FlagSet) {
				f.BoolVar(&c.purge, "purge", false, "")
				f.BoolVar(&c.yes, "yes", false, "")
			},
		},
		{
			name: "verify", usage: "FILE [--root FINGERPRINT]", short: "check every byte and every signature of a volume",
			long: "The root is --root, the one that this node pinned, or " + provisionedRoot + `. Without any
of them the signatures are checked against the volume's own root, and its fingerprint is shown to compare.`,
			example: []string{"verify wallet.volume --root sha256:5b2c…"}, run: verify, args: [2]int{0, 1}, flags: rootFlag,
		},
		{
			name: "list", usage: "FILE [--json]", short: "list the files in a volume",
			example: []string{"list wallet.volume"}, run: list, args: [2]int{0, 1}, flags: jsonFlag,
		},
		{
			name: "extract", usage: "FILE DIR", short: "unpack a volume to a new directory, every byte checked",
			long:    "DIR is an OCI image layout afterwards. It must not exist or be empty. Signatures are checked by verify and install.",
			example: []string{"extract wallet.volume ./wallet"}, run: extract, args: [2]int{0, 2},
		},
		{
			name: "inspect", usage: "FILE [--json]", short: "show which releases a volume holds, as signed by its own root",
			long: "--json prints the same document as `overland inspect --json`. A volume whose signatures do not hold is refused " +
				"(exit 4): by --root, by the root that this node pinned, or by " + provisionedRoot + ", else by its own.",
			example: []string{"inspect wallet.volume"}, run: inspectVolume, args: [2]int{0, 1},
			flags: func(c *call, f *flag.FlagSet) { rootFlag(c, f); jsonFlag(c, f) },
		},
		{
			name: "run", usage: "[--stop-services]", short: "run the agent itself, without a supervisor",
			long: "For the supervisor, and for debugging. On SIGTERM the services keep running, unless --stop-services is given. " +
				"As process 1 it stops them and reaps orphans.",
			run: runAgent, example: []string{"run"},
			flags: func(c *call, f *flag.FlagSet) { f.BoolVar(&c.stop, "stop-services", false, "") },
		},
		{
			name: "supervise", usage: "[--stop-services]", short: "run the agent and keep it running",
			long: "What the service file starts; what a container's start program may be. It reaps orphans, tries new versions of the " +
				"agent and takes back those that do not work. Where no agent is installed yet it waits for: sh FILE install. As process 1, " +
				"--stop-services is the default.",
			run: supervise, example: []string{"supervise"},
			flags: func(c *call, f *flag.FlagSet) {
				f.BoolVar(&c.stop, "stop-services", false, "")
				f.BoolVar(&c.chatter, "say-outcome", false, "") // install --foreground: follow the installation on stderr
			},
		},
		{name: "version", short: "print the agent's version and platform", run: version, example: []string{"version"}},
		{
			name: "help", usage: "[VERB]", short: "print this, or all about one verb", run: runHelp, args: [2]int{0, 1},
			example: []string{"help install"},
		},
	}
}

// help prints all verbs, or all about one.
func help(w io.Writer, name string) bool {
	if name == "" {
		fmt.Fprintf(w, "%s keeps this machine running what its channel says.\n\nusage: %[1]s VERB [FLAGS]\n\n", Program)
		for _, v := range verbs() {
			fmt.Fprintf(w, "  %-10s %s\n", v.name, v.short)
		}
		fmt.Fprintf(w, "\nEvery verb takes --state DIR: the node's directory (default: $OVERLAND_DIR, else %s).\n", systemDir)
		fmt.Fprintf(w, "From a volume: sh FILE install, verify, list, extract, inspect.\n\nExit codes: %s\n\n", errs.ExitCodes)
		fmt.Fprintf(w, "Examples:\n  sh wallet.volume install --root sha256:5b2c… --channel local/wallet\n  %s status\n  %[1]s help install\n", Program)
		return true
	}
	for _, v := range verbs() {
		if v.name != name {
			continue
		}
		fmt.Fprintf(w, "usage: %s\n\n%s.\n", strings.TrimSpace(Program+" "+v.name+" "+v.usage), upperFirst(v.short))
		if v.long != "" {
			fmt.Fprintf(w, "\n%s\n", v.long)
		}
		fmt.Fprintf(w, "\nExamples:\n")
		for _, x := range v.example {
			fmt.Fprintf(w, "  %s %s\n", Program, x)
		}
		fmt.Fprintf(w, "\nExit codes: %s\n", errs.ExitCodes)
		return true
	}
	return false
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
