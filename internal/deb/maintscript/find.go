package maintscript

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// found is one file that find looks at.
type found struct {
	shown string // its place as the script wrote it, and the rest
	below string // the rest: "" = the place itself
	depth int
	name  string // below the root
	File
}

// predicate says of a file whether what comes after it is asked too; it may print.
type predicate func(*found) bool

// finder is one call of find(1), as far as it is done here.
type finder struct {
	*call
	least, most int // depths
	acts        bool
	after       bool // a folder is looked at after what is in it
	pruned      bool // the folder that is looked at is not gone into
}

// errFind is an expression that is not done here.
var errFind = errors.New("not done here")

func findFiles(c *call) error {
	args := c.args
	var places []string
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") && args[0] != "!" && args[0] != "(" {
		places, args = append(places, args[0]), args[1:]
	}
	const longest = 1000 // words of an expression
	if len(args) > longest {
		return c.cannot()
	}
	f := &finder{call: c, most: math.MaxInt}
	all := func(*found) bool { return true }
	if len(args) > 0 {
		var err error
		if all, args, err = f.either(args); err != nil {
			return c.cannot()
		}
	}
	if len(args) > 0 || len(places) == 0 {
		return c.cannot()
	}
	if !f.acts {
		asked := all
		all = func(x *found) bool { return asked(x) && f.show("%s\n", x.shown) }
	}
	for _, p := range places {
		name, file, err := c.root.find(c.dir, p, false)
		if err != nil {
			return err
		}
		if err := f.walk(&found{shown: p, name: name, File: file}, all); err != nil {
			return err
		}
	}
	return nil
}

// walk asks all of x and what is below it.
func (f *finder) walk(x *found, all predicate) error {
	if err := f.ended(); err != nil {
		return err
	}
	f.pruned = false
	if x.depth >= f.least && !f.after {
		all(x)
	}
	var inside []string
	if x.Mode.IsDir() && x.depth < f.most && !f.pruned {
		inside = f.root.List(x.name)
	}
	for _, one := range inside {
		name := path.Join(x.name, one)
		file, there := f.root.Get(name)
		if !there {
			continue
		}
		next := &found{shown: strings.TrimSuffix(x.shown, "/") + "/" + one, below: path.Join(x.below, one), depth: x.depth + 1, name: name, File: file}
		if err := f.walk(next, all); err != nil {
			return err
		}
	}
	if x.depth >= f.least && f.after {
		all(x)
	}
	return nil
}

func (f *finder) show(format string, a ...any) bool {
	fmt.Fprintf(&f.out, format, a...)
	return true
}

// either reads "a -o b", and returns what is left.
func (f *finder) either(args []string) (predicate, []string, error) {
	a, args, err := f.both(args)
	for err == nil && len(args) > 0 && (args[0] == "-o" || args[0] == "-or") {
		one, other := a, predicate(nil)
		other, args, err = f.both(args[1:])
		a = func(x *found) bool { return one(x) || other(x) }
	}
	return a, args, err
}

// both reads "a b", which may be written "a -a b".
func (f *finder) both(args []string) (predicate, []string, error) {
	a, args, err := f.one(args)
	for err == nil && len(args) > 0 && !slices.Contains([]string{"-o", "-or", ")"}, args[0]) {
		if args[0] == "-a" || args[0] == "-and" {
			args = args[1:]
		}
		one, other := a, predicate(nil)
		other, args, err = f.one(args)
		a = func(x *found) bool { return one(x) && other(x) }
	}
	return a, args, err
}

// one reads one test or action.
func (f *finder) one(args []string) (predicate, []string, error) {
	if len(args) == 0 {
		return nil, nil, errFind
	}
	word, args := args[0], args[1:]
	switch word {
	case "!", "-not":
		p, args, err := f.one(args)
		return func(x *found) bool { return !p(x) }, args, err
	case "(":
		p, args, err := f.either(args)
		if err != nil || len(args) == 0 || args[0] != ")" {
			return nil, nil, errFind
		}
		return p, args[1:], nil
	case "-print":
		f.acts = true
		return func(x *found) bool { return f.show("%s\n", x.shown) }, args, nil
	case "-print0":
		f.acts = true
		return func(x *found) bool { return f.show("%s\x00", x.shown) }, args, nil
	case "-prune":
		return func(*found) bool { f.pruned = true; return true }, args, nil
	case "-depth":
		f.after = true
		return func(*found) bool { return true }, args, nil
	case "-delete":
		f.acts, f.after = true, true
		return func(x *found) bool {
			if x.Mode.IsDir() && len(f.root.List(x.name)) > 0 {
				fmt.Fprintf(f.err, "find: cannot delete '%s': Directory not empty\n", x.shown)
				f.status = 1
				return false
			}
			f.root.Remove(x.name)
			return true
		}, args, nil
	case "-empty":
		return func(x *found) bool {
			return x.Mode.IsRegular() && x.Size == 0 || x.Mode.IsDir() && len(f.root.List(x.name)) == 0
		}, args, nil
	}
	if len(args) == 0 {
		return nil, nil, errFind
	}
	p, err := f.with(word, args[0])
	return p, args[1:], err
}

// with reads a test or action that has an argument.
func (f *finder) with(word, arg string) (predicate, error) {
	switch word {
	case "-type":
		want, known := map[string]fs.FileMode{"f": 0, "d": fs.ModeDir, "l": fs.ModeSymlink}[arg]
		if !known {
			return nil, errFind
		}
		return func(x *found) bool { return x.Mode.Type() == want }, nil
	case "-name":
		pattern := strings.ReplaceAll(arg, "[!", "[^")
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, errFind
		}
		return func(x *found) bool {
			fits, err := path.Match(pattern, path.Base(x.shown))
			return err == nil && fits
		}, nil
	case "-printf":
		f.acts = true
		return f.format(arg)
	case "-mindepth", "-maxdepth", "-uid", "-gid":
		n, err := strconv.Atoi(arg)
		if err != nil || n < 0 {
			return nil, errFind
		}
		switch word {
		case "-mindepth":
			f.least = n
		case "-maxdepth":
			f.most = n
		case "-uid":
			return func(x *found) bool { return x.UID == n }, nil
		case "-gid":
			return func(x *found) bool { return x.GID == n }, nil
		}
		return func(*found) bool { return true }, nil
	}
	return nil, errFind
}

// format reads what -printf prints.
func (f *finder) format(text string) (predicate, error) {
	var parts []func(*found) string
	literal := func(s string) { parts = append(parts, func(*found) string { return s }) }
	for i := 0; i < len(text); i++ {
		if (text[i] == '%' || text[i] == '\\') && i+1 < len(text) {
			i++
			switch text[i-1 : i+1] {
			case "%f":
				parts = append(parts, func(x *found) string { return path.Base(x.shown) })
			case "%p":
				parts = append(parts, func(x *found) string { return x.shown })
			case "%P":
				parts = append(parts, func(x *found) string { return x.below })
			case "%%":
				literal("%")
			case `\n`:
				literal("\n")
			case `\t`:
				literal("\t")
			case `\0`:
				literal("\x00")
			case `\\`:
				literal(`\`)
			default:
				return nil, errFind
			}
			continue
		}
		literal(text[i : i+1])
	}
	return func(x *found) bool {
		for _, part := range parts {
			f.out.print(part(x))
		}
		return true
	}, nil
}
