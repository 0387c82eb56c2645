package maintscript

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/interp"

	"overland/internal/fsx"
)

// What scripts call to ask about names and files, and change nothing.

func readLink(c *call) error {
	f := c.options()
	whole, exists := f.BoolP("canonicalize", "f", false, ""), f.BoolP("canonicalize-existing", "e", false, "")
	args, err := c.parse(f)
	if err != nil || len(args) != 1 {
		return cmp.Or(err, c.cannot())
	}
	if *whole || *exists {
		name, _, err := c.root.find(c.dir, args[0], true)
		if err != nil && (*exists || name == "") {
			return exit(1)
		}
		return c.printf("/%s\n", name)
	}
	_, file, err := c.root.find(c.dir, args[0], false)
	if err != nil || file.Mode&fs.ModeSymlink == 0 {
		return exit(1)
	}
	return c.printf("%s\n", file.Target)
}

func realPath(c *call) error {
	f := c.options()
	missing, lexical := f.BoolP("canonicalize-missing", "m", false, ""), f.BoolP("strip", "s", false, "")
	root := f.String("root", "", "")
	args, err := c.parse(f)
	if err != nil || len(args) != 1 || *missing != *lexical || *root != "" {
		return cmp.Or(err, c.cannot())
	}
	if *lexical {
		return c.printf("%s\n", path.Join("/", c.dir, args[0]))
	}
	name, err := c.root.name(c.dir, args[0], true)
	if err != nil {
		return err
	}
	return c.printf("/%s\n", name)
}

func baseName(c *call) error {
	if len(c.args) < 1 || len(c.args) > 2 || strings.HasPrefix(c.args[0], "-") {
		return c.cannot()
	}
	name := path.Base(c.args[0])
	if len(c.args) == 2 && name != c.args[1] {
		name = strings.TrimSuffix(name, c.args[1])
	}
	return c.printf("%s\n", name)
}

func dirName(c *call) error {
	args, err := c.parse(c.options())
	if err != nil || len(args) == 0 {
		return cmp.Or(err, c.cannot())
	}
	for _, p := range args {
		if trimmed := strings.TrimRight(p, "/"); trimmed != "" {
			p = trimmed
		}
		fmt.Fprintf(&c.out, "%s\n", path.Dir(p))
	}
	return nil
}

func which(c *call) error {
	var code uint8
	for _, name := range c.args {
		switch {
		case c.program(c.dir, name) != "":
			at := name
			if !strings.Contains(name, "/") {
				for _, d := range []string{"/bin", "/sbin", "/usr/bin", "/usr/sbin"} {
					if c.program("/", path.Join(d, name)) != "" {
						at = path.Join(d, name)
					}
				}
			}
			fmt.Fprintf(&c.out, "%s\n", at)
		case commands[name].everywhere || essential[name] || interp.IsBuiltin(name):
			fmt.Fprintf(&c.out, "/usr/bin/%s\n", name)
		default:
			code = 1
		}
	}
	if code != 0 {
		return exit(code)
	}
	return nil
}

func listFiles(c *call) error {
	f := c.options()
	f.BoolP("1", "1", false, "")
	f.BoolP("dereference", "L", false, "")
	all := f.BoolP("almost-all", "A", false, "")
	args, err := c.parse(f)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"."}
	}
	for _, p := range args {
		name, file, err := c.root.find(c.dir, p, true)
		if err != nil {
			return err
		}
		if !file.Mode.IsDir() {
			fmt.Fprintf(&c.out, "%s\n", p)
			continue
		}
		if len(args) > 1 {
			return c.cannot()
		}
		for _, one := range c.root.List(name) {
			if *all || one[0] != '.' {
				fmt.Fprintf(&c.out, "%s\n", one)
			}
		}
	}
	return nil
}

func status(c *call) error {
	f := c.options()
	format, follow := f.StringP("format", "c", "", ""), f.BoolP("dereference", "L", false, "")
	args, err := c.parse(f)
	if err != nil || len(args) != 1 {
		return cmp.Or(err, c.cannot())
	}
	_, file, err := c.root.find(c.dir, args[0], *follow)
	if err != nil {
		return err
	}
	text := strings.NewReplacer("%a", strconv.FormatInt(fsx.ModeBits(file.Mode), 8), "%u", strconv.Itoa(file.UID), "%g", strconv.Itoa(file.GID),
		"%U", c.called("passwd", file.UID), "%G", c.called("group", file.GID), "%s", strconv.FormatInt(file.Size, 10), "%n", args[0]).Replace(*format)
	if *format == "" || strings.Contains(text, "%") {
		return c.cannot()
	}
	return c.printf("%s\n", text)
}
