package maintscript

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// table returns the lines of /etc/NAME as fields: passwd, group, shadow, gshadow.
func (c *call) table(name string) ([][]string, error) {
	b, err := c.root.read("/", "/etc/"+name)
	if err != nil {
		return nil, err
	}
	var list [][]string
	for _, line := range linesOf(b) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, strings.Split(line, ":"))
		}
	}
	return list, nil
}

// save writes the table name.
func (c *call) save(name string, list [][]string) error {
	var out strings.Builder
	for _, l := range list {
		out.WriteString(strings.Join(l, ":") + "\n")
	}
	return c.root.write("/", "/etc/"+name, []byte(out.String()))
}

// add appends a line to a table; one that is not there is left out.
func (c *call) add(name string, fields ...string) error {
	list, err := c.table(name)
	if errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(name, "shadow") {
		return nil
	}
	if err != nil {
		return err
	}
	return c.save(name, append(list, fields))
}

// Fields of the tables.
const (
	idField    = 2
	groupField = 3 // of passwd
)

// line returns the line of a table for who, a name or a number; nil = none.
func (c *call) line(table, who string) ([]string, error) {
	list, err := c.table(table)
	if err != nil {
		return nil, err
	}
	for _, l := range list {
		if l[0] == who || len(l) > idField && l[idField] == who {
			return l, nil
		}
	}
	return nil, nil
}

// number returns the id of who, a name or a number.
func (c *call) number(table, who string) (int, error) {
	const most = 1 << 16
	if n, err := strconv.Atoi(who); err == nil && n >= 0 && n < most {
		return n, nil
	}
	if who == "root" {
		return 0, nil // before there is a table, too
	}
	l, err := c.line(table, who)
	if err != nil {
		return 0, err
	}
	if len(l) <= idField {
		return 0, fmt.Errorf("%s is not in /etc/%s", who, table)
	}
	n, err := strconv.Atoi(l[idField])
	if err != nil || n < 0 || n >= most {
		return 0, fmt.Errorf("%s has no number in /etc/%s", who, table)
	}
	return n, nil
}

// called returns the name for the id n.
func (c *call) called(table string, n int) string {
	if l, err := c.line(table, strconv.Itoa(n)); err == nil && l != nil {
		return l[0]
	}
	return "UNKNOWN"
}

func getent(c *call) error {
	if len(c.args) == 0 || c.args[0] != "passwd" && c.args[0] != "group" && c.args[0] != "shadow" || len(c.args) > 2 {
		return c.cannot()
	}
	list, err := c.table(c.args[0])
	if err != nil {
		return err
	}
	found := false
	for _, l := range list {
		if len(c.args) == 1 || l[0] == c.args[1] || len(l) > idField && l[idField] == c.args[1] {
			fmt.Fprintf(&c.out, "%s\n", strings.Join(l, ":"))
			found = true
		}
	}
	if !found {
		return exit(2)
	}
	return nil
}

func id(c *call) error {
	f := c.options()
	user, group, name := f.BoolP("user", "u", false, ""), f.BoolP("group", "g", false, ""), f.BoolP("name", "n", false, "")
	args, err := c.parse(f)
	if err != nil || len(args) > 1 || *user == *group && len(args) == 0 {
		return cmp.Or(err, c.cannot())
	}
	who := "root"
	if len(args) == 1 {
		who = args[0]
	}
	l, err := c.line("passwd", who)
	if err != nil {
		return err
	}
	if len(l) <= groupField {
		return fmt.Errorf("%s: no such user", who)
	}
	switch {
	case *user && *name:
		return c.printf("%s\n", l[0])
	case *user:
		return c.printf("%s\n", l[idField])
	case *group && !*name:
		return c.printf("%s\n", l[groupField])
	case *group:
		return c.cannot()
	}
	return c.printf("uid=%s(%s) gid=%s\n", l[idField], l[0], l[groupField])
}

// Numbers of system users, as Debian's tools choose them: adduser upwards, useradd and groupadd downwards.
const (
	firstSystem = 100
	lastSystem  = 999
)

// free returns a number of a table that nobody has.
func (c *call) free(table string, upwards bool) (int, error) {
	list, err := c.table(table)
	if err != nil {
		return 0, err
	}
	taken := map[string]bool{}
	for _, l := range list {
		if len(l) > idField {
			taken[l[idField]] = true
		}
	}
	for i := range lastSystem - firstSystem + 1 {
		n := lastSystem - i
		if upwards {
			n = firstSystem + i
		}
		if !taken[strconv.Itoa(n)] {
			return n, nil
		}
	}
	return 0, fmt.Errorf("no number is free")
}

func (c *call) group(name string, n int) error {
	if err := c.add("group", name, "x", strconv.Itoa(n), ""); err != nil {
		return err
	}
	return c.add("gshadow", name, "!", "", "")
}

func (c *call) user(name string, n, group int, about, home, shell string) error {
	if err := c.add("passwd", name, "x", strconv.Itoa(n), strconv.Itoa(group), about, home, shell); err != nil {
		return err
	}
	return c.add("shadow", name, "!", strconv.FormatInt(c.day, 10), "", "", "", "", "", "")
}

func addGroup(c *call) error {
	f := c.options()
	number, system, force := f.IntP("gid", "g", -1, ""), f.BoolP("system", "r", false, ""), f.BoolP("force", "f", false, "")
	args, err := c.parse(f)
	if err != nil || len(args) != 1 || !*system && *number < 0 {
		return cmp.Or(err, c.cannot())
	}
	if l, err := c.line("group", args[0]); err != nil || l != nil && l[0] == args[0] {
		if err == nil && !*force {
			const exists = 9
			return exit(exists)
		}
		return err
	}
	if *number < 0 {
		if *number, err = c.free("group", false); err != nil {
			return err
		}
	}
	return c.group(args[0], *number)
}

func addUser(c *call) error {
	f := c.options()
	system, alone, noHome := f.BoolP("system", "r", false, ""), f.BoolP("no-user-group", "N", false, ""), f.BoolP("no-create-home", "M", false, "")
	about, home, shell := f.StringP("comment", "c", "", ""), f.StringP("home-dir", "d", "", ""), f.StringP("shell", "s", "/bin/sh", "")
	group, number := f.StringP("gid", "g", "", ""), f.IntP("uid", "u", -1, "")
	f.BoolP("user-group", "U", false, "")
	args, err := c.parse(f)
	if err != nil || len(args) != 1 || !*system && *number < 0 || !*noHome && !*system {
		return cmp.Or(err, c.cannot())
	}
	name := args[0]
	if l, err := c.line("passwd", name); err != nil || l != nil {
		const exists = 9
		return cmp.Or(err, exit(exists))
	}
	if *number < 0 {
		if *number, err = c.free("passwd", false); err != nil {
			return err
		}
	}
	gid := *number
	switch {
	case *group != "":
		if gid, err = c.number("group", *group); err != nil {
			return err
		}
	case *alone:
		const users = 100
		gid = users
	default:
		if err := c.group(name, gid); err != nil {
			return err
		}
	}
	return c.user(name, *number, gid, *about, cmp.Or(*home, "/home/"+name), *shell)
}

// adduser is Debian's, for system users and groups, and to put a user into a group; addgroup is the same program.
func adduser(c *call) error {
	f := c.options()
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.NewReplacer("force-badname", "allow-bad-names", "allow-badname", "allow-bad-names", "comment", "gecos").Replace(name))
	})
	system, own, noHome := f.Bool("system", false, ""), f.Bool("group", c.name == "addgroup", ""), f.Bool("no-create-home", false, "")
	home, shell, about, in := f.String("home", "", ""), f.String("shell", "/usr/sbin/nologin", ""), f.String("gecos", "", ""), f.String("ingroup", "", "")
	uid, gid := f.Int("uid", -1, ""), f.Int("gid", -1, "")
	for _, name := range []string{"quiet", "disabled-login", "disabled-password", "allow-bad-names"} {
		f.Bool(name, false, "")
	}
	args, err := c.parse(f)
	if err != nil {
		return err
	}
	if len(args) == 2 && !*system {
		return c.member(args[0], args[1])
	}
	if len(args) != 1 || !*system {
		return c.cannot()
	}
	name := args[0]
	if c.name == "addgroup" {
		if l, err := c.line("group", name); err != nil || l != nil {
			return err
		}
		if *gid < 0 {
			if *gid, err = c.free("group", true); err != nil {
				return err
			}
		}
		return c.group(name, *gid)
	}
	if l, err := c.line("passwd", name); err != nil || l != nil {
		return err
	}
	if *uid < 0 {
		if *uid, err = c.free("passwd", true); err != nil {
			return err
		}
	}
	const noGroup = 65534
	group := noGroup
	switch {
	case *in != "":
		if group, err = c.number("group", *in); err != nil {
			return err
		}
	case *gid >= 0:
		group = *gid
	case *own:
		l, err := c.line("group", name)
		if err != nil {
			return err
		}
		if l != nil {
			group, err = c.number("group", name)
		} else if group, err = c.free("group", true); err == nil {
			err = c.group(name, group)
		}
		if err != nil {
			return err
		}
	}
	if err := c.user(name, *uid, group, *about, cmp.Or(*home, "/nonexistent"), *shell); err != nil {
		return err
	}
	if *noHome || *home == "" || *home == "/nonexistent" {
		return nil
	}
	if _, _, err := c.root.find("/", *home, true); err == nil {
		return nil
	}
	if err := c.folder(*home, true); err != nil {
		return err
	}
	at, file, err := c.root.find("/", *home, true)
	if err != nil {
		return err
	}
	file.UID, file.GID = *uid, group
	return c.root.Put(at, file, nil)
}

// member puts a user into a group.
func (c *call) member(user, group string) error {
	const members = 3
	for _, table := range []string{"group", "gshadow"} {
		list, err := c.table(table)
		if errors.Is(err, fs.ErrNotExist) && table == "gshadow" {
			return nil
		}
		if err != nil {
			return err
		}
		at := slices.IndexFunc(list, func(l []string) bool { return l[0] == group && len(l) > members })
		if at < 0 {
			return fmt.Errorf("no group %s", group)
		}
		all := strings.FieldsFunc(list[at][members], func(r rune) bool { return r == ',' })
		if !slices.Contains(all, user) {
			list[at][members] = strings.Join(append(all, user), ",")
			if err := c.save(table, list); err != nil {
				return err
			}
		}
	}
	return nil
}

func changeUser(c *call) error {
	f := c.options()
	more, groups := f.BoolP("append", "a", false, ""), f.StringP("groups", "G", "", "")
	args, err := c.parse(f)
	if err != nil || len(args) != 1 || !*more || *groups == "" {
		return cmp.Or(err, c.cannot())
	}
	for _, g := range strings.Split(*groups, ",") {
		if err := c.member(args[0], g); err != nil {
			return err
		}
	}
	return nil
}

// shadow moves passwords to /etc/shadow and /etc/gshadow: nobody has one.
func shadow(c *call) error {
	if len(c.args) != 1 || c.args[0] != "on" {
		return c.cannot()
	}
	gid, err := c.number("group", "shadow")
	if err != nil {
		return err
	}
	for _, name := range []string{"passwd", "group"} {
		list, err := c.table(name)
		if err != nil {
			return err
		}
		hidden := map[string]string{"passwd": "shadow", "group": "gshadow"}[name]
		var all [][]string
		for _, l := range list {
			const members = 3
			if len(l) <= members {
				return fmt.Errorf("/etc/%s has a line of %d fields", name, len(l))
			}
			if name == "passwd" {
				all = append(all, []string{l[0], l[1], strconv.FormatInt(c.day, 10), "0", "99999", "7", "", "", ""})
			} else {
				all = append(all, []string{l[0], l[1], "", l[members]})
			}
			l[1] = "x"
		}
		if _, _, err := c.root.find("/", "/etc/"+hidden, true); err == nil {
			continue
		}
		if err := c.save(name, list); err != nil {
			return err
		}
		if err := c.save(hidden, all); err != nil {
			return err
		}
		at, file, err := c.root.find("/", "/etc/"+hidden, true)
		if err != nil {
			return err
		}
		const secret = 0o640
		file.Mode, file.GID = secret, gid
		if err := c.root.Put(at, file, nil); err != nil {
			return err
		}
	}
	return nil
}
