package packages

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"overland/internal/deb"
)

// deb returns the package of list.
func (m *making) deb(list []deb.Member) deb.Binary {
	p := m.Package
	depends := slices.Clone(p.Depends)
	if len(p.Users) > 0 && !slices.ContainsFunc(depends, func(s string) bool { name, _, _ := strings.Cut(s, " "); return name == "adduser" }) {
		depends = append(depends, "adduser")
	}
	joined := func(list []string) string { return strings.Join(list, ", ") }
	b := deb.Binary{Time: m.time, Members: list, Scripts: map[string]string{}, Fields: []deb.Field{
		{Name: "Package", Value: m.Name},
		{Name: "Version", Value: m.Version},
		{Name: "Architecture", Value: m.Architecture},
		{Name: "Maintainer", Value: p.Maintainer},
		{Name: "Depends", Value: joined(depends)},
		{Name: "Recommends", Value: joined(p.Recommends)},
		{Name: "Conflicts", Value: joined(p.Conflicts)},
		{Name: "Replaces", Value: joined(p.Replaces)},
		{Name: "Provides", Value: joined(p.Provides)},
		{Name: "Section", Value: cmp.Or(p.Section, "misc")},
		{Name: "Priority", Value: "optional"},
		{Name: "Homepage", Value: p.Homepage},
		{Name: "Description", Value: p.Description},
	}}
	for _, one := range list {
		if one.Mode.IsRegular() && strings.HasPrefix(one.Name, "etc/") {
			b.Conffiles = append(b.Conffiles, "/"+one.Name)
		}
	}
	units := slices.Sorted(maps.Keys(p.Services))
	for i, name := range units {
		units[i] = name + ".service"
	}
	for name, text := range map[string]string{"postinst": m.postinst(units), "prerm": prerm(units), "postrm": postrm(units)} {
		if text != "" {
			b.Scripts[name] = "#!/bin/sh\nset -e\n" + text
		}
	}
	return b
}

// postinst makes users, gives them what is theirs, and starts units as dh_installsystemd has it: a unit that a person
// has disabled or masked stays so. All names are of letters, digits and signs that mean nothing to a shell.
func (m *making) postinst(units []string) string {
	var s strings.Builder
	if len(m.Package.Users)+len(m.owned) > 0 {
		s.WriteString("if [ \"$1\" = configure ]; then\n")
		for _, name := range slices.Sorted(maps.Keys(m.Package.Users)) {
			fmt.Fprintf(&s, "\tadduser --quiet --system --group --no-create-home --home %s %s\n", m.Package.Users[name], name)
		}
		for _, o := range m.owned {
			fmt.Fprintf(&s, "\tif ! dpkg-statoverride --list %[1]s >/dev/null; then\n\t\tchown %[2]s %[1]s\n\t\tchmod %04[3]o %[1]s\n\tfi\n", o.at, o.owner, o.bits())
		}
		s.WriteString("fi\n")
	}
	if len(units) == 0 {
		return s.String()
	}
	fmt.Fprintf(&s, `case "$1" in
configure | abort-upgrade | abort-deconfigure | abort-remove)
	for unit in %s; do
		if deb-systemd-helper --quiet was-enabled "$unit"; then
			deb-systemd-helper enable "$unit" >/dev/null || true
		else
			deb-systemd-helper update-state "$unit" >/dev/null || true
		fi
	done
	if [ -d /run/systemd/system ]; then
		systemctl --system daemon-reload >/dev/null || true
		if [ -n "$2" ]; then action=restart; else action=start; fi
		deb-systemd-invoke "$action" %[1]s >/dev/null || true
	fi
	;;
esac
`, strings.Join(units, " "))
	return s.String()
}

func prerm(units []string) string {
	if len(units) == 0 {
		return ""
	}
	return fmt.Sprintf("if [ \"$1\" = remove ] && [ -d /run/systemd/system ]; then\n\tdeb-systemd-invoke stop %s >/dev/null || true\nfi\n", strings.Join(units, " "))
}

func postrm(units []string) string {
	if len(units) == 0 {
		return ""
	}
	return fmt.Sprintf(`if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
	systemctl --system daemon-reload >/dev/null || true
fi
if [ "$1" = purge ] && command -v deb-systemd-helper >/dev/null; then
	deb-systemd-helper purge %s >/dev/null || true
fi
`, strings.Join(units, " "))
}

// service returns the unit of s.
func (m *making) service(name string, s Service) (deb.Member, error) {
	at := "usr/lib/systemd/system/" + name + ".service"
	if s.Unit == "" {
		return text(at, m.unit(s)), nil
	}
	list, err := m.tree(at, File{Path: s.Unit, Mode: "0644"})
	if err == nil && (len(list) != 1 || !list[0].Mode.IsRegular()) {
		err = notOne(s.Unit)
	}
	if err != nil {
		return deb.Member{}, err
	}
	return list[0], nil
}

// unit returns a unit of systemd that runs s, when the network is there, without end.
func (m *making) unit(s Service) string {
	summary, _, _ := strings.Cut(m.Package.Description, "\n")
	var b strings.Builder
	fmt.Fprintf(&b, "[Unit]\nDescription=%s\nWants=network-online.target\nAfter=network-online.target\n\n[Service]\n", strings.ReplaceAll(summary, "%", "%%"))
	words := make([]string, len(s.Exec))
	for i, w := range s.Exec {
		words[i] = quoted(strings.ReplaceAll(w, "$", "$$"))
	}
	b.WriteString("ExecStart=" + strings.Join(words, " ") + "\n")
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		b.WriteString("Environment=" + quoted(name+"="+s.Env[name]) + "\n")
	}
	if s.User != "" {
		b.WriteString("User=" + s.User + "\n")
	}
	if s.WorkDir != "" {
		b.WriteString("WorkingDirectory=" + strings.ReplaceAll(path.Clean(s.WorkDir), "%", "%%") + "\n")
	}
	b.WriteString("Restart=always\nRestartSec=1\nNoNewPrivileges=yes\nProtectSystem=full\nPrivateTmp=yes\n\n[Install]\nWantedBy=multi-user.target\n")
	return b.String()
}

// quoted returns s as one word of a unit (systemd.service(5), "Command lines").
func quoted(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s)
	if s == "" || strings.ContainsAny(s, " '\"\\;") {
		return `"` + s + `"`
	}
	return s
}
