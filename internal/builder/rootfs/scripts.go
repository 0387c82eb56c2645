package rootfs

import (
	"strings"

	"overland/internal/errs"
)

// scripts are the control files that dpkg runs when a package is installed on an empty machine.
var scripts = []string{"preinst", "postinst"}

// harmless are the debhelper programs whose additions to a script do nothing that a root file system needs: they
// change what an older version left, compile what is compiled again anyway, or tell a service that does not run.
var harmless = []string{
	"dh_installdeb", "dh_makeshlibs", "dh_python3", "dh_icons", "dh_installmenu", "dh_installmime", "dh_installinitramfs", "dh_installdebconf",
	"dh_ucf", "dh_installwm", "dh_perl", "dh_doc-base",
}

// inert reports whether script has nothing but comments, the usual frame, and what harmless programs have added.
func inert(script string) bool {
	inside := false
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if what, ok := strings.CutPrefix(line, "# Automatically added by "); ok {
			name, _, _ := strings.Cut(what, "/")
			inside = false
			for _, h := range harmless {
				inside = inside || name == h
			}
			if !inside {
				return false
			}
			continue
		}
		switch {
		case line == "# End automatically added section":
			inside = false
		case inside, line == "", strings.HasPrefix(line, "#"):
		case line == "set -e", line == "set -eu", line == "exit 0", line == ":":
		default:
			return false
		}
	}
	return true
}

// unknown returns the error for a package whose script is neither in the table nor harmless.
func unknown(name, script string) error {
	return errs.Hint(errs.Errorf(errs.Invalid, "%s has a script (%s) that is not known here, and none is run", name, script),
		"leave %s out, or name it under skip-scripts when the root file system does without what the script does", name)
}
