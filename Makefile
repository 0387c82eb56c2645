# Overland. `make demo` shows it, `make test` proves it; the rest is for people who change it.

GO       ?= go
BIN      := $(CURDIR)/bin
TOOLS    := $(CURDIR)/.cache/bin
AGENTS   := linux/amd64 linux/arm/v5 linux/arm/v6 linux/arm/v7 linux/arm64
TAGS     := netgo,osusergo
# The agent speaks HTTP/1.1 only; leaving HTTP/2 out saves what crosses a slow link.
AGENTTAGS := $(TAGS),nethttpomithttp2
# Nor are our own functions inlined there, nor those of our dependencies: 130 KB less.
AGENTGC   := -gcflags 'overland/...=-l' -gcflags 'github.com/...=-l'
# What the agent calls itself, and the floor under its clock: from the commit, so that one commit gives one program.
VERSION  := $(shell git rev-list --count HEAD 2>/dev/null | sed "s/^/r/").$(shell git rev-parse --short=12 HEAD 2>/dev/null)$(shell git diff --quiet HEAD 2>/dev/null || echo -dirty)
TIME     := $(shell git show -s --format=%ct HEAD 2>/dev/null)
NODECLI  := overland/internal/cli/nodecli
GOBUILD  := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '-s -w -buildid='
# A count, not a time: a time that ends while an input runs is reported as a failure by the Go command.
FUZZTIME ?= 500x
export GOFLAGS :=

.PHONY: help build agents demo test check units crash fuzz cross vm bench oracle conformance cosign deps benchdeps vmdeps demodeps tools clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: agents ## bin/overland, and the agent for every platform beside it
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags $(TAGS) \
		-ldflags '-s -w -buildid= -X overland/internal/cli.programVersion=$(VERSION)' -o $(BIN)/overland ./cmd/overland

agents:
	@for p in $(AGENTS); do \
		os=$${p%%/*}; rest=$${p#*/}; arch=$${rest%%/*}; v=$${rest#$$arch}; v=$${v#/v}; \
		dir=$(BIN)/agents/$$(echo $$p | tr / -); \
		GOOS=$$os GOARCH=$$arch GOARM=$$v CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags $(AGENTTAGS) $(AGENTGC) \
			-ldflags '-s -w -buildid= -X $(NODECLI).programVersion=$(VERSION) -X $(NODECLI).programTime=$(TIME)' -o $$dir/overland-agent ./cmd/overland-agent || exit 1; \
	done

demo: demodeps build ## from a git commit to three running machines with the cable unplugged
	@$(GO) run ./demo $(DEMOFLAGS)

test: deps check units fuzz cross demo ## everything that CI runs, the demo last
# What its machines are; for all five, by hand, it compiles 4 CPU-minutes more of the server, and of nothing of ours.
test: DEMOFLAGS ?= -platforms linux/amd64,linux/arm/v6

# With -race, as the tests: so that what they compile is not compiled without it as well. go vet's
# checks are among golangci-lint's (govet), and are not run twice.
check: tools ## format, vet, lint, floors
	$(TOOLS)/golangci-lint fmt --diff
	GOFLAGS=-race $(TOOLS)/golangci-lint run
	$(GO) test -race -vet=off -count=1 ./internal/layers

# Crash, power-cut, multi-host and qemu-user tests are Go tests like the others; they need root, or say what they need.
# Many of them wait, so twice as many packages as processors run at once; check has vetted them.
# What takes minutes begins first (LONG), so that nothing is waited for at the end with a processor idle.
# Of the crash and power-cut points it tries a third, another one with each commit; make crash tries all.
units: LONG := ./internal/cli ./demo/proof ./internal/testkit/crash ./internal/session ./cmd/overland-agent ./internal/builder/golang
units: ## every Go test, under the race detector
	OVERLAND_CRASH_POINTS=$$(( $$(git rev-list --count HEAD 2>/dev/null || echo 0) % 3 ))/3 $(GO) test -race -vet=off -p $$((2 * $$(getconf _NPROCESSORS_ONLN))) -timeout 45m $(LONG) ./...

crash: ## every crash and power-cut point of all stories
	OVERLAND_PUSHES=200 $(GO) test -count=1 -timeout 60m -run 'Stop|Kill|PowerCut|Crash' ./internal/testkit/crash ./internal/agent/node ./internal/netcache/server ./internal/server/registry

fuzz: ## every fuzz target, FUZZTIME each (500 new inputs and the corpus; give it 30s before a release)
	@$(GO) run ./internal/testkit/fuzz -fuzztime $(FUZZTIME) ./...

# The agents' flags: what they compiled for arm/v5 is not compiled again.
cross: agents ## every program for every system that it is for
	GOOS=darwin GOARCH=arm64 $(GOBUILD) -o /dev/null ./cmd/overland
	GOOS=darwin GOARCH=amd64 $(GO) vet ./cmd/overland
	GOOS=linux GOARCH=arm GOARM=5 CGO_ENABLED=0 $(GO) vet -trimpath -buildvcs=false -tags $(AGENTTAGS) $(AGENTGC) ./internal/... ./cmd/...

vm: vmdeps ## builds and services in virtual machines of the other processors
	for a in arm64 arm; do OVERLAND_VM_ARCH=$$a $(GO) test -count=1 -run InAMachine ./internal/testkit/vm || exit 1; done

bench: deps benchdeps build ## the figures of docs/benchmarks.md, beside their floors
	@$(GO) run ./bench $(BENCHFLAGS)

oracle: ## random sets of packages, as apt of this machine chooses them and as we do (SETS=N, SEED=N; ends after 50 minutes)
	$(GO) test -count=1 -v -timeout 60m -run TestTheSetsAreApts ./internal/deb/resolve -ask $${SETS:-300} -seed $${SEED:-$$(date +%s)} -within 50m

conformance: ## the public TUF conformance suite, from the folder TUF_CONFORMANCE (docs/explanation/trust.md)
	@test -d "$(TUF_CONFORMANCE)" || { echo "set TUF_CONFORMANCE to a copy of the suite: docs/explanation/trust.md" >&2; exit 2; }
	$(GO) build -o $(BIN)/conformance ./internal/trust/conformance
	cd "$(TUF_CONFORMANCE)" && PYTHONPATH="$$PWD:$$PYTHONPATH" python3 -m pytest -q tuf_conformance --entrypoint $(BIN)/conformance

cosign: $(TOOLS)/cosign ## signed provenance, as cosign verifies it; building that takes ten minutes of a processor
	COSIGN=$(TOOLS)/cosign $(GO) test -count=1 -tags cosign -run Cosign ./internal/operator

$(TOOLS)/cosign: tools/cosign/go.mod tools/cosign/go.sum
	$(GO) build -C tools/cosign -o $@ github.com/sigstore/cosign/v3/cmd/cosign

deps: ## Debian packages that the tests use
	@sh .ci/deps bubblewrap busybox-static cargo curl e2fsprogs faketime gcc git git-lfs iproute2 libc6-dev maven mmdebstrap musl openrc python3-pip qemu-system-x86 qemu-user-static runc skopeo systemd unzip util-linux wget xz-utils zstd

benchdeps:
	@sh .ci/deps apt-cacher-ng nginx strace

vmdeps: deps
	@sh .ci/deps qemu-system-arm

demodeps:
	@sh .ci/deps busybox-static git qemu-user-static util-linux

tools: $(TOOLS)/golangci-lint

$(TOOLS)/golangci-lint: tools/go.mod tools/go.sum
	$(GO) build -C tools -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

clean: ## remove what building and testing left in this folder
	rm -rf $(BIN) .cache .demo
