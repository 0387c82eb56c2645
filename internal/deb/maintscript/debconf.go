package maintscript

import (
	"bytes"
	"fmt"
	"strings"

	"overland/internal/deb"
)

// confmoduleText is what debconf's shell library is here: each of its functions asks debconf below, and has the answer in RET.
const confmoduleText = `
_db() { RET=$(debconf "$@"); }
db_version() { _db VERSION "$@"; }
db_capb() { _db CAPB "$@"; }
db_title() { _db TITLE "$@"; }
db_settitle() { _db TITLE "$@"; }
db_input() { _db INPUT "$@"; }
db_go() { _db GO "$@"; }
db_get() { _db GET "$@"; }
db_set() { _db SET "$@"; }
db_reset() { _db RESET "$@"; }
db_fget() { _db FGET "$@"; }
db_fset() { _db FSET "$@"; }
db_subst() { _db SUBST "$@"; }
db_metaget() { _db METAGET "$@"; }
db_register() { _db REGISTER "$@"; }
db_unregister() { _db UNREGISTER "$@"; }
db_purge() { _db PURGE "$@"; }
db_info() { _db INFO "$@"; }
db_progress() { _db PROGRESS "$@"; }
db_beginblock() { _db BEGINBLOCK "$@"; }
db_endblock() { _db ENDBLOCK "$@"; }
db_stop() { :; }
`

// question returns a field of a package's question, "default" or "choices".
func (r *run) question(name, field string) (string, bool) {
	for d := deb.NewDecoder(bytes.NewReader(r.of.Templates)); ; {
		p, err := d.Next()
		if err != nil {
			return "", false // the end; and a file that cannot be read has no questions
		}
		if p["template"] == name {
			return strings.TrimSpace(p[field]), true
		}
	}
}

// debconf answers a script's questions as a machine does where nobody is asked: with what was set, else with the default.
func debconf(c *call) error {
	if len(c.args) == 0 {
		return c.cannot()
	}
	const skipped, badName = 30, 10
	args := c.args[1:]
	switch c.args[0] {
	case "INPUT":
		return exit(skipped)
	case "GET", "METAGET", "SET", "RESET", "FGET":
		if len(args) == 0 {
			return c.cannot()
		}
	case "GO", "CAPB", "TITLE", "FSET", "SUBST", "REGISTER", "UNREGISTER", "PURGE", "INFO", "PROGRESS", "VERSION", "BEGINBLOCK", "ENDBLOCK":
		return nil
	default:
		return c.cannot()
	}
	value, known := c.question(args[0], "default")
	if set, ok := c.answers[args[0]]; ok {
		value, known = set, true
	}
	switch {
	case c.args[0] == "SET" && len(args) > 1:
		c.answers[args[0]] = strings.Join(args[1:], " ")
	case c.args[0] == "RESET":
		delete(c.answers, args[0])
	case c.args[0] == "FGET":
		fmt.Fprintln(&c.out, "false")
	case !known:
		fmt.Fprintf(&c.out, "%s doesn't exist\n", args[0])
		return exit(badName)
	case c.args[0] == "METAGET" && len(args) == 2:
		field, _ := c.question(args[0], strings.ToLower(args[1]))
		fmt.Fprintln(&c.out, field)
	case c.args[0] == "GET":
		fmt.Fprintln(&c.out, value)
	default:
		return c.cannot()
	}
	return nil
}
