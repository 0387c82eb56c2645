package appfile

import (
	"fmt"
	"strings"
)

// ReservedPattern matches the names for which Reserved returns something, for a schema.
const ReservedPattern = `^(overland(-.*)?|local|root|targets|snapshot|timestamp)$`

// CommandPattern matches the names of commands but for those that CheckCommand refuses besides, for a schema.
const CommandPattern = `^[A-Za-z0-9_][A-Za-z0-9._+-]{0,62}$`

// CheckCommand refuses a name that people could not call, or would take for Overland's own program.
func CheckCommand(name string) error {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._+-", c)
	}
	switch {
	case name == "" || len(name) > 63 || strings.ContainsRune(".+-", rune(name[0])) || strings.ContainsFunc(name, func(c rune) bool { return !plain(c) }):
		return fmt.Errorf("command %.100q: not a name of letters, digits and . _ + -", name)
	case strings.HasPrefix(name, "overland"):
		return fmt.Errorf("command %s: names that begin with overland are those of Overland's own programs", name)
	}
	return nil
}

// SameCommand returns the first name that both lists of commands have, "" when there is none.
func SameCommand(a, b map[string]string) (same string) {
	for name := range a {
		if _, both := b[name]; both && (same == "" || name < same) {
			same = name
		}
	}
	return same
}

// Reserved returns why no repository may call its application name; "" when it may. A name is the
// repository's own word, and these would be read as Overland's: as its agent and its other
// programs, as a channel, or as one of the roles that stand above applications.
func Reserved(name string) string {
	switch {
	case name == "overland" || strings.HasPrefix(name, "overland-"):
		return "names that begin with overland are those of Overland's own programs"
	case name == "local":
		return "local/NAME are the channels of applications that are sealed without one"
	case name == "root" || name == "targets" || name == "snapshot" || name == "timestamp":
		return "it is the name of a role that decides for all applications"
	}
	return ""
}
