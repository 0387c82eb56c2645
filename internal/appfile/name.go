package appfile

import "strings"

// ReservedPattern matches the names for which Reserved returns something, for a schema.
const ReservedPattern = `^(overland(-.*)?|local|root|targets|snapshot|timestamp)$`

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
