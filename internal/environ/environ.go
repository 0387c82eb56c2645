package environ

import (
	"os"
	"slices"
	"strings"
)

// ours is how the names of this program's own variables begin.
const ours = "OVERLAND_"

// Secret reports whether a variable of this name holds a key, or the way to one.
func Secret(name string) bool {
	rest, own := strings.CutPrefix(name, ours)
	if !own {
		return false // the command's own: its registry logins, for example
	}
	return slices.ContainsFunc([]string{"PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL"}, func(word string) bool {
		return strings.Contains(rest, word)
	})
}

// Child returns the environment of this process for a child: NAME=VALUE without the secrets.
func Child() []string { return Without(os.Environ()) }

// Without returns list, NAME=VALUE, without the secrets.
func Without(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return Secret(name)
	})
}

// Lookup returns the value of the variable name in list, NAME=VALUE, and whether it is set. The last
// one counts, as everywhere.
func Lookup(list []string, name string) (value string, set bool) {
	for _, kv := range slices.Backward(list) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v, true
		}
	}
	return "", false
}

// Hide takes the secrets out of this process's environment, and returns what os.Getenv did before.
// It is for the start of a program, before anything reads or changes variables.
func Hide() (getenv func(name string) string) {
	hidden := map[string]string{}
	for _, kv := range os.Environ() {
		if name, value, _ := strings.Cut(kv, "="); Secret(name) {
			hidden[name] = value
			_ = os.Unsetenv(name) // cannot fail: the name is one
		}
	}
	if len(hidden) > 0 {
		wipe()
	}
	return func(name string) string {
		if value, ok := hidden[name]; ok {
			return value
		}
		return os.Getenv(name)
	}
}
