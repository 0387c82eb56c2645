package command_test

import (
	"strings"
	"testing"

	"overland/internal/appfile/yamlfile"
	"overland/internal/appfile/yamlfile/yamltest"
	"overland/internal/builder/command"
)

// head is the least that a file needs.
const head = "overland: 1\nname: a\nartifacts:\n  a: {go: ./cmd/a}\n" // a test replaces the builder

func TestKeys(t *testing.T) {
	format := yamlfile.Format{Builders: []yamlfile.Builder{command.Keys()}, Runtimes: []yamlfile.Runtime{{Name: "process"}}}
	yamltest.Run(t, format, map[string]string{
		"command": "overland: 1\nname: a\nartifacts:\n  a: {command: {run: [sh, build.sh, 5], output: ./out/app}, platforms: [linux/amd64]}\n",
		"limits":  strings.Replace(head, "go: ./cmd/a", "command: {run: [make], output: x, limits: {memory: 4GiB, processes: 10, disk: 20GiB, time: 1h}}", 1),
	}, map[string]yamltest.Refusal{
		"command is text":         {strings.Replace(head, "go: ./cmd/a", "command: make", 1), "f.yaml:4:16: command must be a mapping", "", true},
		"command without run":     {strings.Replace(head, "go: ./cmd/a", "command: {output: x}", 1), "f.yaml:4:16: command has no key run", "run: ", true},
		"command without file":    {strings.Replace(head, "go: ./cmd/a", "command: {run: [make]}", 1), "f.yaml:4:16: command has no key output", "output: ", true},
		"run is text":             {strings.Replace(head, "go: ./cmd/a", "command: {run: make, output: x}", 1), "f.yaml:4:22: run must be a list, not text", "[one, two]", true},
		"run is empty":            {strings.Replace(head, "go: ./cmd/a", "command: {run: [], output: x}", 1), "f.yaml:4:22: run names no program", "[sh, build.sh]", true},
		"run without program":     {strings.Replace(head, "go: ./cmd/a", "command: {run: [\"\", x], output: x}", 1), "f.yaml:4:22: run names no program", "[sh, build.sh]", false},
		"output outside":          {strings.Replace(head, "go: ./cmd/a", "command: {run: [make], output: out/../../x}", 1), `f.yaml:4:38: output "out/../../x"`, "out/app", false},
		"output absolute":         {strings.Replace(head, "go: ./cmd/a", "command: {run: [make], output: /x}", 1), `f.yaml:4:38: output "/x"`, "out/app", true},
		"output with a backslash": {strings.Replace(head, "go: ./cmd/a", `command: {run: [make], output: "a\\b"}`, 1), `f.yaml:4:38: output "a\\b"`, "out/app", false},
		"output with a line":      {strings.Replace(head, "go: ./cmd/a", `command: {run: [make], output: "a\nb"}`, 1), `f.yaml:4:38: output "a\nb"`, "out/app", false},
		"memory is no size":       {strings.Replace(head, "go: ./cmd/a", "command: {run: [make], output: x, limits: {memory: much}}", 1), `f.yaml:4:58: memory`, "4GiB", true},
		"memory is too much":      {strings.Replace(head, "go: ./cmd/a", "command: {run: [make], output: x, limits: {memory: 99999999999GiB}}", 1), `f.yaml:4:58: memory`, "4GiB", false},
		"no processes":            {strings.Replace(head, "go: ./cmd/a", "command: {run: [make], output: x, limits: {processes: 0}}", 1), `f.yaml:4:61: processes`, "", true},
		"output is the top":       {strings.Replace(head, "go: ./cmd/a", "command: {run: [make], output: .}", 1), `f.yaml:4:38: output "."`, "out/app", false},
	})
}
