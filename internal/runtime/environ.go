package runtime

import (
	"fmt"
	"maps"
	"slices"

	"overland/internal/appfile"
)

// Arguments returns s.Args expanded with vars.
func Arguments(s appfile.Service, vars map[string]string) ([]string, error) {
	list := make([]string, len(s.Args))
	for i, arg := range s.Args {
		v, err := Expand(arg, vars)
		if err != nil {
			return nil, fmt.Errorf("args[%d]: %w", i, err)
		}
		list[i] = v
	}
	return list, nil
}

// Environ returns s.Env expanded with vars, as sorted NAME=value.
func Environ(s appfile.Service, vars map[string]string) ([]string, error) {
	list := make([]string, 0, len(s.Env))
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		v, err := Expand(s.Env[name], vars)
		if err != nil {
			return nil, fmt.Errorf("env %s: %w", name, err)
		}
		list = append(list, name+"="+v)
	}
	return list, nil
}
