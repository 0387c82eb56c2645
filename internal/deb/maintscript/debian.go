package maintscript

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"overland/internal/deb"
)

// dpkg answers what scripts ask of it.
func dpkg(c *call) error {
	args := c.args
	if len(args) > 0 && args[0] == "--no-pager" {
		args = args[1:]
	}
	switch {
	case len(args) == 4 && args[0] == "--compare-versions":
		a, op, b := args[1], args[2], args[3]
		holds, err := versionHolds(a, op, b)
		if err != nil {
			return c.cannot()
		}
		if !holds {
			return exit(1)
		}
		return nil
	case len(args) == 1 && args[0] == "--print-architecture":
		return c.printf("%s\n", c.of.Architecture)
	case len(args) == 2 && (args[0] == "-L" || args[0] == "--listfiles"):
		list := c.of.Files(strings.TrimSuffix(args[1], ":"+c.of.Architecture))
		if list == nil {
			fmt.Fprintf(c.err, "package '%s' is not installed\n", args[1])
			return exit(1)
		}
		for _, name := range list {
			fmt.Fprintf(&c.out, "/%s\n", name)
		}
		return nil
	case len(args) == 2 && (args[0] == "-s" || args[0] == "--status"):
		version := c.of.Installed(args[1])
		if version == "" {
			return exit(1)
		}
		return c.printf("Package: %s\nStatus: install ok installed\nVersion: %s\n", args[1], version)
	}
	return c.cannot()
}

// operators are those of dpkg --compare-versions, as relations have them.
var operators = map[string]string{
	"lt": "<<", "le": "<=", "eq": "=", "ge": ">=", "gt": ">>", "<<": "<<", "<=": "<=", "=": "=", ">=": ">=", ">>": ">>", "<": "<=", ">": ">=",
	"lt-nl": "<<", "le-nl": "<=", "ge-nl": ">=", "gt-nl": ">>",
}

// versionHolds reports what dpkg --compare-versions says. An empty version is older than any, but with the -nl forms
// newer than any.
func versionHolds(a, op, b string) (bool, error) {
	as, known := operators[op]
	switch {
	case op == "ne":
		return deb.CompareVersions(a, b) != 0, nil
	case !known:
		return false, fmt.Errorf("operator %q", op)
	}
	const oldest, newest = "0~~", "9999999999:0"
	none := oldest
	if strings.HasSuffix(op, "-nl") {
		none = newest
	}
	return deb.Relation{Op: as, Version: cmp.Or(b, none)}.Holds(cmp.Or(a, none)), nil
}

func dpkgQuery(c *call) error {
	f := c.options()
	show, format := f.BoolP("show", "W", false, ""), f.StringP("showformat", "f", "", "")
	args, err := c.parse(f)
	if err != nil || !*show || len(args) != 1 {
		return cmp.Or(err, c.cannot())
	}
	version := c.of.Installed(args[0])
	if version == "" {
		fmt.Fprintf(c.err, "dpkg-query: no packages found matching %s\n", args[0])
		return exit(1)
	}
	text := strings.NewReplacer("${Version}", version, "${Package}", args[0], "${Status}", "install ok installed", "${db:Status-Abbrev}", "ii ",
		"${db:Status-Status}", "installed", `\n`, "\n").Replace(cmp.Or(*format, "${Package}\t${Version}\n"))
	if strings.Contains(text, "${") {
		return c.cannot()
	}
	c.out.print(text)
	return nil
}

// diversion is a file of one package that another has moved.
type diversion struct{ from, to, by string }

func divert(c *call) error {
	f := c.options()
	by, to := f.String("package", "LOCAL", ""), f.String("divert", "", "")
	local, rename, stays := f.Bool("local", false, ""), f.Bool("rename", false, ""), f.Bool("no-rename", false, "")
	who, whole, list := f.Bool("listpackage", false, ""), f.Bool("truename", false, ""), f.Bool("list", false, "")
	add, drop := f.Bool("add", false, ""), f.Bool("remove", false, "")
	f.Bool("quiet", false, "")
	args, err := c.parse(f)
	if err != nil || len(args) != 1 || *local && *by != "LOCAL" {
		return cmp.Or(err, c.cannot())
	}
	name := args[0]
	at := slices.IndexFunc(c.diversions, func(d diversion) bool { return d.from == name })
	move := func(from, to string) error {
		if !*rename || *stays {
			return nil
		}
		from, _, err := c.root.find("/", from, false)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if to, err = c.root.name("/", to, false); err != nil {
			return err
		}
		return c.root.Rename(from, to)
	}
	switch {
	case *who:
		if at >= 0 {
			return c.printf("%s\n", c.diversions[at].by)
		}
		return nil
	case *whole:
		if at >= 0 && c.diversions[at].by != c.of.Name {
			name = c.diversions[at].to
		}
		return c.printf("%s\n", name)
	case *list:
		if strings.ContainsAny(name, "*?[") {
			return c.cannot()
		}
		if at >= 0 {
			return c.printf("diversion of %s to %s by %s\n", name, c.diversions[at].to, c.diversions[at].by)
		}
		return nil
	case *drop:
		if at < 0 {
			return nil
		}
		d := c.diversions[at]
		if d.by != *by {
			return fmt.Errorf("mismatch on package of the diversion of %s: %s and %s", name, d.by, *by)
		}
		c.diversions = slices.Delete(c.diversions, at, at+1)
		return move(d.to, d.from)
	case *add || *to != "":
		d := diversion{name, cmp.Or(*to, name+".distrib"), *by}
		if at >= 0 {
			if c.diversions[at] == d {
				return nil
			}
			return fmt.Errorf("%s is diverted by %s already", name, c.diversions[at].by)
		}
		c.diversions = append(c.diversions, d)
		return move(d.from, d.to)
	}
	return c.cannot()
}

// statOverride sets owner and mode; no administrator has said otherwise in a root that is new.
func statOverride(c *call) error {
	f := c.options()
	add, drop, list, now := f.Bool("add", false, ""), f.Bool("remove", false, ""), f.Bool("list", false, ""), f.Bool("update", false, "")
	f.Bool("quiet", false, "")
	f.Bool("force", false, "")
	f.Bool("force-all", false, "")
	args, err := c.parse(f)
	switch {
	case err != nil:
		return err
	case *list:
		return exit(1)
	case *drop:
		return nil
	case !*add || len(args) != 4:
		return c.cannot()
	case !*now:
		return nil
	}
	uid, err := c.number("passwd", args[0])
	if err != nil {
		return err
	}
	gid, err := c.number("group", args[1])
	if err != nil {
		return err
	}
	name, file, err := c.root.find("/", args[3], false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mode, ok := modeOf(file.Mode&fs.ModeType, args[2])
	if !ok {
		return c.cannot()
	}
	file.UID, file.GID, file.Mode = uid, gid, mode
	return c.root.Put(name, file, nil)
}

func trigger(c *call) error {
	f := c.options()
	f.Bool("no-await", false, "")
	f.Bool("await", false, "")
	f.String("by-package", "", "")
	known := f.Bool("check-supported", false, "")
	args, err := c.parse(f)
	if err != nil || !*known && len(args) != 1 {
		return cmp.Or(err, c.cannot())
	}
	if !*known {
		c.triggers = append(c.triggers, args[0])
	}
	return nil
}

// alternative is a name for which several packages have a file.
type alternative struct {
	link    string
	slaves  map[string]string // names with their links
	choices map[string]choice // by path
	order   []string          // of slaves
	best    string            // path of the choice that is taken
}

type choice struct {
	priority int
	slaves   map[string]string // names with their paths
}

const alternativesDir = "/etc/alternatives"

func updateAlternatives(c *call) error {
	args := slices.DeleteFunc(slices.Clone(c.args), func(a string) bool { return a == "--quiet" || a == "--verbose" || a == "--force" })
	if len(args) == 0 {
		return c.cannot()
	}
	switch args[0] {
	case "--remove", "--remove-all", "--auto":
		return nil // of what an older version had; and all are automatic
	case "--query", "--display", "--list":
		if len(args) != 2 {
			return c.cannot()
		}
		a := c.alternatives[args[1]]
		if a == nil {
			fmt.Fprintf(c.err, "no alternatives for %s\n", args[1])
			return exit(2)
		}
		return c.printf("%s", map[string]func(string) string{"--query": a.query, "--display": a.display, "--list": a.list}[args[0]](args[1]))
	case "--install":
	default:
		return c.cannot()
	}
	const words, slaveWords = 5, 4
	if len(args) < words || (len(args)-words)%slaveWords != 0 {
		fmt.Fprintf(c.err, "--install needs <link> <name> <path> <priority>\n")
		return exit(2)
	}
	link, name, file := args[1], args[2], args[3]
	priority, err := strconv.Atoi(args[4])
	if err != nil {
		return exit(2)
	}
	if _, _, err := c.root.find("/", file, true); err != nil {
		fmt.Fprintf(c.err, "alternative path %s doesn't exist\n", file)
		return exit(2)
	}
	a := c.alternatives[name]
	if a == nil {
		a = &alternative{slaves: map[string]string{}, choices: map[string]choice{}}
		c.alternatives[name] = a
	}
	a.link = link
	one := choice{priority, map[string]string{}}
	for rest := args[words:]; len(rest) > 0; rest = rest[slaveWords:] {
		if rest[0] != "--slave" {
			return c.cannot()
		}
		if _, known := a.slaves[rest[2]]; !known {
			a.order = append(a.order, rest[2])
		}
		a.slaves[rest[2]] = rest[1]
		one.slaves[rest[2]] = rest[3]
	}
	_, known := a.choices[file]
	a.choices[file] = one
	a.decide(file, !known)
	return c.choose(name, a)
}

// list returns what is printed of a, which is called name: a choice a line.
func (a *alternative) list(string) string {
	return strings.Join(slices.Sorted(maps.Keys(a.choices)), "\n") + "\n"
}

// query is list with all that is known, for programs.
func (a *alternative) query(name string) string {
	slaves := func(of map[string]string) (text string) {
		for _, slave := range slices.Sorted(maps.Keys(of)) {
			text += " " + slave + " " + of[slave] + "\n"
		}
		if len(a.slaves) > 0 {
			text = "Slaves:\n" + text
		}
		return text
	}
	text := fmt.Sprintf("Name: %s\nLink: %s\n%sStatus: auto\nBest: %s\nValue: %[4]s\n", name, a.link, slaves(a.slaves), a.best)
	for _, p := range slices.Sorted(maps.Keys(a.choices)) {
		text += fmt.Sprintf("\nAlternative: %s\nPriority: %d\n%s", p, a.choices[p].priority, slaves(a.choices[p].slaves))
	}
	return text
}

// display is query for people.
func (a *alternative) display(name string) string {
	text := fmt.Sprintf("%s - auto mode\n  link best version is %s\n  link currently points to %[2]s\n  link %[1]s is %[3]s\n", name, a.best, a.link)
	for _, slave := range slices.Sorted(maps.Keys(a.slaves)) {
		text += fmt.Sprintf("  slave %s is %s\n", slave, a.slaves[slave])
	}
	for _, p := range slices.Sorted(maps.Keys(a.choices)) {
		text += fmt.Sprintf("%s - priority %d\n", p, a.choices[p].priority)
		for _, slave := range slices.Sorted(maps.Keys(a.choices[p].slaves)) {
			text += fmt.Sprintf("  slave %s: %s\n", slave, a.choices[p].slaves[slave])
		}
	}
	return text
}

// decide sets the best choice of a, once file is one of them: the one with the highest priority; of equals the one whose
// path comes first, or which was there before file.
func (a *alternative) decide(file string, isNew bool) {
	paths := slices.Sorted(maps.Keys(a.choices))
	if isNew {
		paths = append(slices.DeleteFunc(paths, func(p string) bool { return p == file }), file)
	}
	a.best = paths[0]
	for _, p := range paths {
		if a.choices[p].priority > a.choices[a.best].priority {
			a.best = p
		}
	}
}

// choose makes the links of the alternative name, and the file in which dpkg keeps it.
func (c *call) choose(name string, a *alternative) error {
	if err := c.alternativeLink(a.link, name, a.best); err != nil {
		return err
	}
	order := slices.Sorted(slices.Values(a.order))
	for _, slave := range order {
		to := a.choices[a.best].slaves[slave]
		if to != "" {
			if _, _, err := c.root.find("/", to, true); err != nil {
				to = ""
			}
		}
		if err := c.alternativeLink(a.slaves[slave], slave, to); err != nil {
			return err
		}
	}
	text := "auto\n" + a.link + "\n"
	for _, slave := range order {
		text += slave + "\n" + a.slaves[slave] + "\n"
	}
	text += "\n"
	for _, p := range slices.Sorted(maps.Keys(a.choices)) {
		text += fmt.Sprintf("%s\n%d\n", p, a.choices[p].priority)
		for _, slave := range order {
			text += a.choices[p].slaves[slave] + "\n"
		}
	}
	const dir = "/var/lib/dpkg/alternatives"
	if err := c.folder(dir, true); err != nil {
		return err
	}
	return c.root.write("/", path.Join(dir, name), []byte(text+"\n"))
}

// alternativeLink makes link lead to to, through the link name among the alternatives; to "" = neither of them.
func (c *call) alternativeLink(link, name, to string) error {
	if err := c.folder(alternativesDir, true); err != nil {
		return err
	}
	middle := path.Join(alternativesDir, name)
	for _, one := range []struct{ at, to string }{{middle, to}, {link, middle}} {
		at, err := c.root.name("/", one.at, false)
		if to == "" && err != nil {
			continue // the folder of a manual page that is not there
		}
		if err != nil {
			if err := c.folder(path.Dir(one.at), true); err != nil {
				return err
			}
			if at, err = c.root.name("/", one.at, false); err != nil {
				return err
			}
		}
		old, there := c.root.Get(at)
		switch {
		case there && old.Mode&fs.ModeSymlink == 0:
			fmt.Fprintf(c.err, "not replacing %s with a link\n", one.at)
		case to == "":
			if there {
				c.root.Remove(at)
			}
		default:
			if err := c.root.Put(at, File{Mode: fs.ModeSymlink | fs.ModePerm, Target: one.to}, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// ucf puts a package's version of a configuration file in its place; nobody has changed it in a root that is new.
func ucf(c *call) error {
	f := c.options()
	purge := f.BoolP("purge", "p", false, "")
	f.Bool("three-way", false, "")
	f.Bool("debconf-ok", false, "")
	f.String("sum-file", "", "")
	f.String("src-dir", "", "")
	args, err := c.parse(f)
	if err != nil || *purge || len(args) != 2 {
		return cmp.Or(err, c.cannot())
	}
	_, file, err := c.root.find(c.dir, args[0], true)
	if err != nil {
		return err
	}
	b, err := c.file(args[0])
	if err != nil {
		return err
	}
	if _, _, err := c.root.find(c.dir, args[1], true); err == nil {
		return nil
	}
	name, err := c.root.name(c.dir, args[1], false)
	if err != nil {
		return err
	}
	return c.root.Put(name, File{Mode: file.Mode, UID: file.UID, GID: file.GID}, append([]byte{}, b...))
}
