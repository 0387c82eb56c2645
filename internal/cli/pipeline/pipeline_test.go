package pipeline

import (
	"testing"

	"overland/internal/cli/verb/verbtest"
	"overland/internal/operator"
	"overland/internal/pipeline"
)

func TestOptions(t *testing.T) {
	verbtest.Options(t, plan,
		verbtest.Case[options]{},
		verbtest.Case[options]{
			Args: []string{"ci", "--rev", "v1", "-C", "app", "--json"},
			Want: options{pipeline.Options{Pipeline: "ci", Source: operator.SourceOptions{Dir: "app", Rev: "v1"}}, true},
		},
	)
	verbtest.Options(t, run,
		verbtest.Case[options]{Want: options{Options: pipeline.Options{Parallel: 1}}},
		verbtest.Case[options]{
			Args: []string{"ci", "--step", "a,b", "--step", "c", "--fresh", "-j", "3", "-o", "kept", "--source", "app", "--json"},
			Want: options{pipeline.Options{Pipeline: "ci", Steps: []string{"a", "b", "c"}, Fresh: true, Parallel: 3, Out: "kept", Source: operator.SourceOptions{Dir: "app"}}, true},
		},
	)
}
