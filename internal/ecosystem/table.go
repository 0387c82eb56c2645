package ecosystem

import (
	"context"
	"slices"
	"strings"

	"overland/internal/ecosystem/apk"
	"overland/internal/ecosystem/apt"
	"overland/internal/ecosystem/cargo"
	"overland/internal/ecosystem/golang"
	"overland/internal/ecosystem/npm"
	"overland/internal/ecosystem/pypi"
	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
)

// Table returns every ecosystem, in the order in which people are shown them. Plain URLs, which
// need no tool, are not among them.
func Table() []tool.Tool {
	return []tool.Tool{
		golang.Tool(),
		npm.Tool(),
		pypi.Tool(),
		apt.Tool(),
		cargo.Tool(),
		apk.Tool(),
	}
}

// Serve opens what a cache serves: each tool that is on this machine, or for whose protocol
// upstreams has URLs. A name in upstreams that is neither a protocol nor in others is errs.Invalid.
func Serve(ctx context.Context, upstreams map[string][]string, others []string, c tool.Cache) ([]*tool.Server, error) {
	var names, commands []string
	for _, t := range Table() {
		names, commands = append(names, t.Name), append(commands, t.Command)
	}
	for name := range upstreams {
		if known := append(slices.Clone(names), others...); !slices.Contains(known, name) {
			return nil, errs.Hint(errs.Errorf(errs.Invalid, "the cache does not speak %q", name), "it speaks: %s", strings.Join(known, ", "))
		}
	}
	var list []*tool.Server
	for _, t := range Table() {
		s := tool.Serving{Upstreams: upstreams[t.Name], Here: tool.Installed(t.Command), Cache: c}
		if len(s.Upstreams) == 0 && !s.Here {
			continue
		}
		served, err := t.Serve(ctx, s)
		if err != nil {
			return nil, err
		}
		list = append(list, served)
	}
	if len(list) == 0 {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "there is nothing to cache: none of %s is on this machine", strings.Join(commands, ", ")),
			"install one, or say where things come from: --cache-upstream %s=URL", names[0])
	}
	return list, nil
}

// Lines returns a line of shell for each tool that can use the cache f. Run on a machine, it
// points that machine's tool at f.
func Lines(f tool.Face) []string {
	var lines []string
	for _, t := range Table() {
		if l := t.Line(f); l != "" {
			lines = append(lines, l)
		}
	}
	return lines
}
