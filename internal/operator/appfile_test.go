package operator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"overland/internal/appfile"
	"overland/internal/appfile/yamlfile/yamltest"
	"overland/internal/builder/golang"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/platform"
	"overland/internal/runtime"
)

const (
	publishedSchema = "../../docs/reference/overland.schema.json"
	reference       = "../../docs/reference/overland-yaml.md"
)

func TestPublishedSchemaIsCurrent(t *testing.T) {
	got, err := os.ReadFile(publishedSchema)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, operator.AppFile().Schema()) {
		t.Error("docs/reference/overland.schema.json is old: go generate ./internal/cli")
	}
}

// What a program is to see in braces of its own can be written.
func TestBracesThatAreNoVariable(t *testing.T) {
	app, err := operator.AppFile().Parse([]byte(serviceHead+"    args: ['{{\"{{\"}}.Names}}', \"{{.Release.Version}}\"]\n"), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	args, err := runtime.Arguments(app.Services["s"], map[string]string{"Release.Version": "r1"})
	if err != nil || strings.Join(args, " ") != "{{.Names}} r1" {
		t.Errorf("args %q, %v", args, err)
	}
}

// A tag is asked for only where the file names it: a commit without one is built all the same.
func TestWhoNeedsATag(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "version: commit\n": false, "version: tag\n": true,
		"artifacts: {a: {go: {package: ., vars: {main.v: \"{{.Version}}\"}}}}\n": false,
		"artifacts: {a: {go: {package: ., vars: {main.v: \"{{ .Tag }}\"}}}}\n":   true,
	} {
		if !strings.Contains(text, "artifacts") {
			text += "artifacts: {a: {go: .}}\n"
		}
		app, err := operator.AppFile().Parse([]byte("overland: 1\nname: x\n"+text), "f.yaml")
		if err != nil || app.Tagged() != want {
			t.Errorf("%s: %v, %v", text, app.Tagged(), err)
		}
		if again, err := operator.AppFile().Parse(operator.AppFile().Marshal(app), "f.yaml"); err != nil || again.Version != app.Version {
			t.Errorf("%s: written as %q, %v", text, again.Version, err)
		}
	}
	if _, err := operator.AppFile().Parse([]byte("overland: 1\nname: x\nversion: v1\nartifacts: {a: {go: .}}\n"), "f.yaml"); err == nil || !strings.Contains(err.Error(), "f.yaml:3:10") {
		t.Errorf("%v", err)
	}
}

func TestReferenceNamesEveryKey(t *testing.T) {
	b, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	var schema any
	if err := json.Unmarshal(operator.AppFile().Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	names := properties(schema)
	if len(names) < 30 {
		t.Fatalf("the schema has only the keys %v", names)
	}
	for _, name := range names {
		if !strings.Contains(string(b), "`"+name+"`") {
			t.Errorf("the reference does not mention `%s`", name)
		}
	}
	for i, block := range strings.Split(string(b), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		if _, err := operator.AppFile().Parse([]byte(text), "example"); err != nil {
			t.Errorf("example %d: %v\n%s", i+1, err, text)
		}
	}
}

// properties returns the names of all keys in a schema.
func properties(schema any) (names []string) {
	switch s := schema.(type) {
	case []any:
		for _, v := range s {
			names = append(names, properties(v)...)
		}
	case map[string]any:
		for key, v := range s {
			if p, ok := v.(map[string]any); ok && key == "properties" {
				for name, v := range p {
					names = append(append(names, name), properties(v)...)
				}
				continue
			}
			names = append(names, properties(v)...)
		}
	}
	return names
}

// TestDesign reads the example of the design page.
func TestDesign(t *testing.T) {
	b, err := os.ReadFile("testdata/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := operator.AppFile().Parse(b, "overland.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := &appfile.App{
		Overland:  1,
		Name:      "wallet",
		Artifacts: map[string]appfile.Artifact{"node": {Builder: golang.Key, Settings: &golang.Program{Package: "./cmd/node"}, Platforms: platform.All()}},
		Services: map[string]appfile.Service{"node": {
			Artifact: "node", Runtime: "process", Args: []string{"--data", "{{.Volumes.data}}"},
			Data:    map[string]string{"data": "/data", "wallet": "/wallet"},
			Restart: appfile.Restart{Backoff: appfile.Backoff{Min: seconds(1), Max: seconds(300)}},
			SelfTest: []appfile.Check{
				{HTTP: "http://127.0.0.1:6420/health", Status: 200, Within: seconds(60)},
				{Exec: []string{"node", "--version"}, Contains: "{{.Release.Version}}"},
			},
			Stable: seconds(10),
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func seconds(n int) appfile.Duration { return appfile.Duration(time.Duration(n) * time.Second) }

// head is the least that a file needs; a test appends to it.
const head = "overland: 1\nname: a\nartifacts:\n  a: {go: ./cmd/a}\n"

// service is head and the beginning of a service; a test appends keys, indented by four.
const serviceHead = head + "services:\n  s:\n    artifact: a\n"

var good = map[string]string{
	"least":          head,
	"comments":       "# one\n" + head + "# two\n",
	"json":           `{"overland": 1, "name": "a", "artifacts": {"a": {"go": "./cmd/a"}}}`,
	"document start": "---\n" + head,
	"every key": serviceHead + `    runtime: process
    args: [run, 5, 1.10, true, "{{.Volumes.d}}", "{{ .Release.App }}"]
    env: {PORT: 80, NAME: "{{.Release.Version}}"}
    volumes: {d: /data}
    ports: [80, 65535, 53/udp, 127.0.0.1:81/tcp, "[::1]:53", "82"]
    user: "1000:1000"
    restart: {policy: on-failure, backoff: 500ms..1m30s}
    stop: 30s
    readiness: 2m
    stable: 1h
    selftest:
      - tcp: 127.0.0.1:80
        within: 5s
        every: 30s
        failures: 5
      - {exec: [a, ok], every: 24h}
      - {log: "^ready in [0-9]+"}
      - {exec: [a, check], contains: ok}
      - {http: "https://[::1]:80/"}
`,
	"files":      serviceHead + "    args: [--config, \"{{.Files.conf}}\"]\n    files: {conf: deploy/app.ini, x: .hidden/x}\n  t: {artifact: a, files: {conf: deploy/app.ini}}\n",
	"commands":   head + "commands: {wallet-cli: a, W_2.x+y: a}\n",
	"tasks":      serviceHead + "    kind: service\n  migrate: {artifact: a, kind: task, args: [up], within: 1h, while: running}\n  seed: {artifact: a, kind: task, stop: 1m}\n",
	"block text": serviceHead + "    args:\n      - |\n        two\n        lines\n",
	"pipelines": head + `pipelines:
  ci:
    unit: {run: [go, test, ./...], report: junit.xml, timeout: 20m}
    docs: {run: [make, docs], paths: [docs, Makefile, .hidden/a b]}
    e2e:
      run: [sh, e2e.sh]
      needs: [a, unit]
      matrix: {locale: [en, de], go: [1.22, "1.23"]}
      secrets: [smtp]
      retry: 1
      keep: [out/screenshots]
  weekly: {on: {schedule: "Mon 06:00 Europe/Paris"}, all: {run: [make]}}
  tagged: {on: {branches: [main, release/*], tags: ["v*"], schedule: ["daily 00:00", "Sat-Mon,Wed 23:59 UTC"]}, all: {run: [make]}}
`,
	"user number": serviceHead + "    user: 1000\n",
}

// bad are examples of what no builder has to do with.
var bad = map[string]yamltest.Refusal{
	"empty":                     {"", "f.yaml:1:1: the file is empty", "overland init", false},
	"comment only":              {"# nothing\n", "f.yaml:1:1: the file is empty", "overland init", false},
	"not yaml":                  {"overland: [1\n", "f.yaml:1:", "", false},
	"tab":                       {"overland: 1\n\tname: a\n", "f.yaml:2:", "", false},
	"a list":                    {"- 1\n", "f.yaml:1:1: the file must be a mapping (key: value), not a list", "", true},
	"a text":                    {"hello\n", "f.yaml:1:1: the file must be a mapping (key: value), not text", "", true},
	"two documents":             {head + "---\nname: b\n", "f.yaml:6:1: a second document", "one application", false},
	"newer":                     {strings.Replace(head, "1", "2", 1), "f.yaml:1:11: format 2 is not known here", "newer Overland", true},
	"a fraction":                {strings.Replace(head, "1", "1.0", 1), "f.yaml:1:11: overland must be a whole number, not 1.0", "", false},
	"no version":                {head[len("overland: 1\n"):], "f.yaml:1:1: the file has no key overland", "overland: ", true},
	"no artifacts":              {"overland: 1\nname: a\nartifacts: {}\n", "f.yaml:3:12: artifacts is empty", "overland init", true},
	"null artifacts":            {"overland: 1\nname: a\nartifacts:\n", "f.yaml:3:12: artifacts must be a mapping (key: value), not nothing", "", true},
	"bad name":                  {strings.Replace(head, "name: a", "name: Wallet", 1), `f.yaml:2:7: name "Wallet": a to z`, "a to z", true},
	"S3 the agent's name":       {strings.Replace(head, "name: a", "name: overland-agent", 1), `f.yaml:2:7: name "overland-agent" is reserved`, "another name", true},
	"S3 a channel's name":       {strings.Replace(head, "name: a", "name: local", 1), `f.yaml:2:7: name "local" is reserved`, "another name", true},
	"number as name":            {strings.Replace(head, "name: a", "name: 42", 1), "f.yaml:2:7: name must be text, not a number", `quote it: "42"`, true},
	"long name":                 {strings.Replace(head, "name: a", "name: "+strings.Repeat("a", 64), 1), "f.yaml:2:7: name", "at most 63", true},
	"unknown key":               {head + "service: {}\n", `f.yaml:5:1: unknown key "service" · did you mean services?`, "keys of the file: overland", true},
	"far key":                   {head + "zebra: {}\n", `f.yaml:5:1: unknown key "zebra"`, "keys of the file", true},
	"unknown inner key":         {serviceHead + "    artifcat: a\n", `f.yaml:8:5: unknown key "artifcat" · did you mean artifact?`, "keys of service s: artifact", true},
	"twice":                     {head + "name: b\n", `f.yaml:5:1: key "name" is here twice; first in line 2`, "keep one", false},
	"artifact twice":            {strings.Replace(head, "  a: {go: ./cmd/a}\n", "  a: {go: ./cmd/a}\n  a: {go: ./b}\n", 1), `f.yaml:5:3: key "a" is here twice; first in line 4`, "", false},
	"number as key":             {head + "5: x\n", "f.yaml:5:1: a key of the file must be text", "quote it", true},
	"artifact name":             {strings.Replace(head, "  a:", "  A_b:", 1), `f.yaml:4:3: artifact "A_b"`, "a to z", true},
	"no builder":                {strings.Replace(head, "{go: ./cmd/a}", "{platforms: [linux/amd64]}", 1), "f.yaml:4:3: artifact a has no builder key", "go: ./cmd/a", false},
	"two builders":              {strings.Replace(head, "{go: ./cmd/a}", "{go: ./cmd/a, rootfs: x}", 1), "f.yaml:4:3: artifact a has 2 builder keys, go and rootfs", "keep one", true},
	"later builder":             {strings.Replace(head, "{go: ./cmd/a}", "{dockerfile: x}", 1), "f.yaml:4:19: the builder dockerfile is not there yet", "go, command", true},
	"bad platform":              {strings.Replace(head, "{go: ./cmd/a}", "{go: ., platforms: [linux/arm/v8]}", 1), `f.yaml:4:26: platform "linux/arm/v8": not one of linux/amd64`, "leave platforms out", true},
	"platform twice":            {strings.Replace(head, "{go: ./cmd/a}", "{go: ., platforms: [linux/arm64, linux/arm64]}", 1), `f.yaml:4:39: platform "linux/arm64" is here twice`, "", true},
	"no platform":               {strings.Replace(head, "{go: ./cmd/a}", "{go: ., platforms: []}", 1), "f.yaml:4:25: platforms is empty", "", true},
	"unknown artifact":          {strings.Replace(serviceHead, "artifact: a", "artifact: b", 1), `f.yaml:7:15: unknown artifact "b"`, "artifacts of this file: a", false},
	"service before":            {"overland: 1\nname: a\nservices: {s: {artifact: appp}}\nartifacts: {app: {go: .}}\n", `f.yaml:3:26: unknown artifact "appp" · did you mean app?`, "", false},
	"no artifact":               {head + "services:\n  s:\n    stable: 1s\n", "f.yaml:7:5: service s has no key artifact", "artifact: ", true},
	"command of nothing":        {head + "commands: {tool: b}\n", `f.yaml:5:18: unknown artifact "b"`, "artifacts of this file: a", false},
	"command with a path":       {head + "commands: {../tool: a}\n", `f.yaml:5:12: command "../tool": not a name`, "another name", true},
	"command as ours":           {head + "commands: {overland-agent: a}\n", "f.yaml:5:12: command overland-agent: names that begin with overland", "another name", true},
	"runtime":                   {serviceHead + "    runtime: proces\n", `f.yaml:8:14: unknown runtime "proces" · did you mean process?`, "one of: process", true},
	"later runtime":             {serviceHead + "    runtime: container\n", "f.yaml:8:14: the runtime container is not there yet", "process", true},
	"args is text":              {serviceHead + "    args: --data x\n", "f.yaml:8:11: args must be a list, not text", "[one, two]", true},
	"null arg":                  {serviceHead + "    args: [~]\n", "f.yaml:8:12: an entry of args must be text, not nothing", "", true},
	"unknown volume":            {serviceHead + "    args: [\"{{.Volumes.dat}}\"]\n    volumes: {data: /data}\n", "f.yaml:8:12: unknown variable {{.Volumes.dat}} · did you mean {{.Volumes.data}}?", "{{.Volumes.data}}", false},
	"open variable":             {serviceHead + "    args: [\"{{.Volumes\"]\n", `f.yaml:8:12: "{{.Volumes": {{ without }}`, "}}", false},
	"undotted":                  {serviceHead + "    env: {A: \"{{Release.App}}\"}\n", "f.yaml:8:14: unknown variable {{Release.App}}", "{{.Release.App}}", false},
	"env name":                  {serviceHead + "    env: {A-B: x}\n", `f.yaml:8:11: env: "A-B"`, "letters", true},
	"unknown file":              {serviceHead + "    args: [\"{{.Files.con}}\"]\n    files: {conf: app.ini}\n", "f.yaml:8:12: unknown variable {{.Files.con}} · did you mean {{.Files.conf}}?", "{{.Files.conf}}", false},
	"file outside":              {serviceHead + "    files: {c: ../app.ini}\n", `f.yaml:8:16: files: c: "../app.ini" is not a path in the repository`, "deploy/app.ini", false},
	"file at the root":          {serviceHead + "    files: {c: /etc/passwd}\n", `f.yaml:8:16: files: c "/etc/passwd"`, "deploy/app.ini", true},
	"file with a dot":           {serviceHead + "    files: {c: .env}\n", `f.yaml:8:16: files: c ".env"`, "begins with no dot", true},
	"file as an artifact":       {serviceHead + "    files: {a: app.ini}\n", "f.yaml:8:13: file a: an artifact is called so", "another name", false},
	"file as a program":         {serviceHead + "    files: {c: deploy/a}\n", "f.yaml:8:16: files: c: on a node the program a would lie there", "otherwise", false},
	"two files, one name":       {serviceHead + "    files: {c: x/app.ini}\n  t: {artifact: a, files: {c: y/app.ini}}\n", "f.yaml:8:16: files: c: service t has y/app.ini under that name", "another name", false},
	"two files, one place":      {serviceHead + "    files: {c: x/app.ini, d: y/app.ini}\n", "would be called app.ini on a node", "otherwise", false},
	"volume path":               {serviceHead + "    volumes: {d: data}\n", `f.yaml:8:18: volumes: d: "data" is not an absolute path`, "/data", true},
	"port":                      {serviceHead + "    ports: [70000]\n", `f.yaml:8:13: port "70000": must be between 1 and 65535`, "53/udp", true},
	"port name":                 {serviceHead + "    ports: [http]\n", `f.yaml:8:13: port "http": must be between`, "53/udp", true},
	"port protocol":             {serviceHead + "    ports: [53/sctp]\n", `f.yaml:8:13: port "53/sctp": the protocols are tcp and udp`, "53/udp", true},
	"port host":                 {serviceHead + "    ports: [\"localhost:80\"]\n", `f.yaml:8:13: port "localhost:80": not a literal address`, "127.0.0.1:8080", true},
	"port twice":                {serviceHead + "    ports: [80, 127.0.0.1:80]\n", "f.yaml:8:17: port 127.0.0.1:80 is here twice", "keep one", false},
	"port without quotes":       {head + "services: {s: {artifact: a, ports: [127.0.0.1:80]}}\n", "a port must be a number or text, not a mapping", "quote it", false},
	"port of two services":      {serviceHead + "    ports: [53/udp]\n  t: {artifact: a, ports: [53, \"0.0.0.0:53/udp\"]}\n", "f.yaml:9:32: port 0.0.0.0:53/udp: service s has 53/udp already", "another port", false},
	"failures alone":            {serviceHead + "    selftest:\n      - {tcp: \"127.0.0.1:1\", failures: 2}\n", "failures belongs to a self-test that goes on", "every: 30s", false},
	"every of a log":            {serviceHead + "    selftest:\n      - {log: x, every: 30s}\n", "every does not belong to log", "http", false},
	"every moment":              {serviceHead + "    selftest:\n      - {tcp: \"127.0.0.1:1\", every: 10ms}\n", "every 10ms: at least 1s", "30s", false},
	"kind":                      {serviceHead + "    kind: job\n", `f.yaml:8:11: unknown kind "job"`, "service, task", true},
	"within of a service":       {serviceHead + "    within: 5m\n", "f.yaml:8:13: within belongs to a task", "kind: task", false},
	"while of a service":        {serviceHead + "    while: running\n    kind: service\n", "f.yaml:8:12: while belongs to a task", "kind: task", false},
	"self-test of a task":       {serviceHead + "    selftest: [{tcp: \"127.0.0.1:1\"}]\n    kind: task\n", "f.yaml:8:15: selftest does not belong to a task", "ends with 0", false},
	"task of two hours":         {serviceHead + "    kind: task\n    within: 2h\n", "f.yaml:9:13: within 2h: at most 1h", "hold up", false},
	"user":                      {serviceHead + "    user: \"a b\"\n", `f.yaml:8:11: user "a b"`, "uid", true},
	"policy":                    {serviceHead + "    restart: {policy: alwyas}\n", `f.yaml:8:23: unknown policy "alwyas" · did you mean always?`, "on-failure", true},
	"backoff":                   {serviceHead + "    restart: {backoff: 1s...5m}\n", `f.yaml:8:24: backoff "1s...5m"`, "1s..5m", true},
	"backoff downwards":         {serviceHead + "    restart: {backoff: 5m..1s}\n", `f.yaml:8:24: backoff "5m..1s"`, "1s..5m", false},
	"duration":                  {serviceHead + "    stable: fast\n", `f.yaml:8:13: stable: duration "fast"`, "10s", true},
	"duration without unit":     {serviceHead + "    stop: 10\n", "f.yaml:8:11: stop 10: without a unit", "10s", true},
	"negative duration":         {serviceHead + "    stable: -1s\n", `f.yaml:8:13: stable: duration "-1s"`, "10s", true},
	"S15 within":                {serviceHead + "    selftest:\n      - {tcp: \"127.0.0.1:1\", within: 8000h}\n", "within 8000h: at most 1h", "hold up", false},
	"S15 readiness":             {serviceHead + "    readiness: 61m\n", "f.yaml:8:16: readiness 61m: at most 1h", "hold up", false},
	"S15 stable":                {serviceHead + "    stable: 2h\n", "f.yaml:8:13: stable 2h: at most 1h", "hold up", false},
	"S15 stop":                  {serviceHead + "    stop: 1h\n", "f.yaml:8:11: stop 1h: at most 10m", "hold up", false},
	"S15 backoff":               {serviceHead + "    restart: {backoff: 1s..8000h}\n", "the longest wait is at most 24h", "1s..5m", false},
	"S15 many checks":           {serviceHead + "    selftest:\n" + strings.Repeat("      - {log: x}\n", 65), "f.yaml:73:9: more than 64 self-tests", "exec", false},
	"no check":                  {serviceHead + "    selftest:\n      - {within: 5s}\n", "f.yaml:9:9: a self-test must have one of http, tcp, exec and log; this one has none", "each", false},
	"two checks":                {serviceHead + "    selftest:\n      - {http: \"http://127.0.0.1/\", tcp: \"127.0.0.1:1\"}\n", "this one has http and tcp", "each", false},
	"status of tcp":             {serviceHead + "    selftest:\n      - {tcp: \"127.0.0.1:1\", status: 200}\n", "status belongs to http, not to tcp", "", false},
	"contains of log":           {serviceHead + "    selftest:\n      - {log: x, contains: y}\n", "contains does not belong to log", "", false},
	"status":                    {serviceHead + "    selftest:\n      - {http: \"http://127.0.0.1/\", status: 2000}\n", "status 2000: must be between 100 and 599", "", true},
	"url":                       {serviceHead + "    selftest:\n      - {http: 127.0.0.1/health}\n", `f.yaml:9:16: http "127.0.0.1/health" is not a URL`, "http://", true},
	"tcp":                       {serviceHead + "    selftest:\n      - {tcp: localhost}\n", `tcp "localhost" is not host:port`, "127.0.0.1:6420", true},
	"exec":                      {serviceHead + "    selftest:\n      - {exec: []}\n", "exec names no program", "--version", true},
	"log":                       {serviceHead + "    selftest:\n      - {log: \"(\"}\n", `log "(" is not a regular expression`, "regexp", false},
	"self-test variable":        {serviceHead + "    selftest:\n      - {exec: [a], contains: \"{{.Release.Versoin}}\"}\n", "did you mean {{.Release.Version}}?", "{{.Release.App}}", false},
	"anchor":                    {strings.Replace(head, "{go", "&x {go", 1), "f.yaml:4:6: anchors, aliases and merge keys are not allowed here", "write it out", false},
	"alias":                     {head + "services: *x\n", "f.yaml:5:11: anchors", "write it out", false},
	"bomb":                      {"a: &a [x, x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\n", "f.yaml:1:4: anchors", "write it out", false},
	"merge":                     {head + "<<: {name: b}\n", "f.yaml:5:1: anchors", "write it out", false},
	"tag of yaml":               {strings.Replace(head, "name: a", "name: !!str a", 1), "f.yaml:2:7: tags are not allowed here", "remove", false},
	"directive":                 {"%YAML 1.2\n---\n" + head, "f.yaml:1:1: directives", "remove", false},
	"question":                  {head + "? x\n: y\n", "f.yaml:5:1: keys that begin with ?", "key: value", false},
	"deep flow":                 {head + "services: " + strings.Repeat("[", 50) + strings.Repeat("]", 50) + "\n", "nested too deeply", "", false},
	"deep list":                 {strings.Repeat("- ", 100_000) + "x\n", "f.yaml:1:", "", false},
	"deep mapping":              {deepMapping(400), "nested too deeply", "", false},
	"too long":                  {head + "#" + strings.Repeat("x", 1<<20), "f.yaml:1:1: longer than 1048576 bytes", "a page", false},
	"too many lines":            {head + strings.Repeat("\n", 5000), "f.yaml:1:1: 5004 line ends: more than 4096", "a page", false},
	"too many returns":          {head + "x: |\r" + strings.Repeat(" \r", 5000), "line ends: more than 4096", "a page", false},
	"pipeline: key":             {steps + "    unit: {run: [a], neeeds: [a]}\n", `f.yaml:7:22: unknown key "neeeds" · did you mean needs?`, "keys of step unit: run, needs", true},
	"pipeline: no run":          {steps + "    unit: {needs: [a]}\n", "f.yaml:7:11: step unit has no key run", "run: ", true},
	"pipeline: no steps":        {head + "pipelines: {ci: {}}\n", "f.yaml:5:13: pipeline ci has no steps", "go, test", true},
	"pipeline: on alone":        {steps + "    on: {branches: [main]}\n", "f.yaml:6:3: pipeline ci has no steps", "go, test", false},
	"pipeline: name":            {head + "pipelines: {Ci: {}}\n", `f.yaml:5:13: pipeline "Ci"`, "a to z", true},
	"pipeline: step's name":     {steps + "    ../x: {run: [a]}\n", `f.yaml:7:5: step "../x"`, "a to z", true},
	"pipeline: twice":           {steps + "    unit: {run: [a]}\n    unit: {run: [a]}\n", `f.yaml:8:5:`, "", false},
	"pipeline: artifact's name": {steps + "    a: {run: [b]}\n", "f.yaml:7:5: step a has the name of an artifact", "another name", false},
	"pipeline: unknown need":    {steps + "    unit: {run: [a], needs: [b]}\n", `f.yaml:7:29: step unit needs "b", which is not there`, "unit, a", false},
	"pipeline: same need":       {steps + "    unit: {run: [a], needs: [a, a]}\n", `step unit needs a twice`, "keep one", false},
	"pipeline: itself":          {steps + "    unit: {run: [a], needs: [unit]}\n", "f.yaml:7:29: a step waits for itself: unit → unit", "leave one", false},
	"pipeline: ring":            {steps + "    x: {run: [a], needs: [y]}\n    y: {run: [a], needs: [z]}\n    z: {run: [a], needs: [x]}\n", "a step waits for itself: x → y → z → x", "leave one", false},
	"pipeline: path":            {steps + "    unit: {run: [a], paths: [docs, ../x]}\n", `paths "../x" is not a path inside the repository`, "docs", false},
	"pipeline: absolute path":   {steps + "    unit: {run: [a], keep: [/etc]}\n", `a path "/etc"`, "docs", true},
	"pipeline: git's path":      {steps + "    unit: {run: [a], paths: [.git/config]}\n", `paths ".git/config" is not`, "docs", false},
	"pipeline: same path":       {steps + "    unit: {run: [a], keep: [x, x]}\n", `keep "x" is here twice`, "keep one", false},
	"pipeline: report":          {steps + "    unit: {run: [a], report: a/../../b}\n", `report "a/../../b" is not`, "report.xml", false},
	"pipeline: bomb":            {steps + "    unit: {run: [a], matrix: {a: [1, 2, 3, 4, 5, 6, 7], b: [1, 2, 3, 4, 5, 6, 7], c: [1, 2, 3, 4, 5, 6, 7]}}\n", "f.yaml:7:5: step unit: a matrix of more than 256 variants", "leave values", false},
	"pipeline: many bombs":      {steps + manySteps(21, "matrix: {a: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], b: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]}"), "the pipeline has more than 5000 steps", "leave values", false},
	"pipeline: many steps":      {steps + manySteps(501, "retry: 1"), "f.yaml:507:5: more than 500 steps", "two pipelines", false},
	"pipeline: many":            {head + "pipelines:\n" + manyPipelines(65), "f.yaml:70:3: more than 64 pipelines", "join", true},
	"pipeline: matrix's name":   {steps + "    unit: {run: [a], matrix: {PATH: [x]}}\n", `matrix: "PATH"`, "environment", true},
	"pipeline: matrix's proxy":  {steps + "    unit: {run: [a], matrix: {http_proxy: [x]}}\n", `matrix: "http_proxy"`, "environment", false},
	"pipeline: matrix's value":  {steps + "    unit: {run: [a], matrix: {l: [../x]}}\n", `matrix: l "../x"`, "folder", false},
	"pipeline: matrix's twice":  {steps + "    unit: {run: [a], matrix: {l: [x, x]}}\n", `matrix: l x is here twice`, "keep one", false},
	"pipeline: empty matrix":    {steps + "    unit: {run: [a], matrix: {l: []}}\n", `matrix: l has no values`, "locale", true},
	"pipeline: timeout":         {steps + "    unit: {run: [a], timeout: 49h}\n", "timeout 49h: at most 48h", "", false},
	"pipeline: retry":           {steps + "    unit: {run: [a], retry: 6}\n", "retry 6: must be between 0 and 5", "", true},
	"pipeline: with":            {steps + "    unit: {run: [a], with: {db: {image: x}}}\n", "f.yaml:7:28: the key with of a step is not there yet", "containers", true},
	"pipeline: lock":            {steps + "    unit: {run: [a], lock: {}}\n", "the key lock of a step is not there yet", "overland record", true},
	"pipeline: if":              {steps + "    unit: {run: [a], if: x}\n", "the key if of a step is not there yet", "conditions", true},
	"pipeline: day":             {steps + "    on: {schedule: Mon-Fry 06:00}\n    u: {run: [a]}\n", `f.yaml:7:20: schedule "Mon-Fry 06:00"`, "Mon 06:00 Europe/Paris", false},
	"pipeline: day twice":       {steps + "    on: {schedule: \"Mon-Wed,Tue 06:00\"}\n    u: {run: [a]}\n", `Tue is here twice`, "Mon 06:00 Europe/Paris", false},
	"pipeline: time":            {steps + "    on: {schedule: \"Mon 24:00\"}\n    u: {run: [a]}\n", `"24:00" is not a time`, "Mon 06:00 Europe/Paris", false},
	"pipeline: zone":            {steps + "    on: {schedule: \"Mon 06:00 Europe/Pairs\"}\n    u: {run: [a]}\n", `unknown time zone "Europe/Pairs"`, "Mon 06:00 Europe/Paris", false},
	"pipeline: local zone":      {steps + "    on: {schedule: \"Mon 06:00 Local\"}\n    u: {run: [a]}\n", `"Local" is not a time zone`, "Mon 06:00 Europe/Paris", false},
	"pipeline: zone's path":     {steps + "    on: {schedule: \"Mon 06:00 ../../etc/passwd\"}\n    u: {run: [a]}\n", `schedule "Mon 06:00 ../../etc/passwd"`, "Mon 06:00 Europe/Paris", true},
	"pipeline: branch":          {steps + "    on: {branches: [\"a b\"]}\n    u: {run: [a]}\n", `a branch "a b"`, "release/*", true},
	"too many words":            {head + "x: [" + strings.Repeat("a, ", 100_000) + "a]\n", "more than 100000 words", "a page", false},
}

// steps is head and the beginning of a pipeline; a test appends steps, indented by four.
const steps = head + "pipelines:\n  ci:\n"

func manySteps(n int, also string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "    s%d: {run: [a], %s}\n", i, also)
	}
	return b.String()
}

func manyPipelines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  p%d: {s: {run: [a]}}\n", i)
	}
	return b.String()
}

func deepMapping(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestAppFile(t *testing.T) { yamltest.Run(t, operator.AppFile(), good, bad) }

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := operator.AppFile().Parse([]byte("overland: 1\nnmae: a\nartifacts:\n  a: {go: ./a, platforms: [vax]}\n"), "f.yaml")
	want := `f.yaml:2:1: unknown key "nmae" · did you mean name?`
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || !strings.Contains(err.Error(), want) || !strings.HasPrefix(lines[2], "f.yaml:4:28: ") {
		t.Errorf("got\n%v", err)
	}
	_, err = operator.AppFile().Parse([]byte(head+"services:\n"+strings.Repeat("  s:\n", 50)), "f.yaml")
	if n := strings.Count(err.Error(), "\n"); n != 10 {
		t.Errorf("%d lines of errors", n+1)
	}
}

func FuzzAppFile(f *testing.F) {
	design, err := os.ReadFile("testdata/design.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(design)
	for _, text := range good {
		f.Add([]byte(text))
	}
	for _, c := range bad {
		if len(c.YAML) < 1000 {
			f.Add([]byte(c.YAML))
		}
	}
	format := operator.AppFile()
	f.Fuzz(func(t *testing.T, b []byte) {
		app, err := format.Parse(b, "f.yaml")
		if err != nil {
			if errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
				t.Errorf("%v: kind %v, hint %q", err, errs.KindOf(err), errs.HintOf(err))
			}
			return
		}
		again, err := format.Parse(format.Marshal(app), "f.yaml")
		if err != nil || !reflect.DeepEqual(app, again) {
			t.Errorf("reads back as %+v (%v), want %+v", again, err, app)
		}
	})
}
