package command

import (
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"overland/internal/appfile/yamlfile"
)

// Key is this builder's key in overland.yaml.
const Key = "command"

// Command is what stands under the key "command".
type Command struct {
	Run    []string // a program and its arguments, run at the top of a copy of the commit
	Output string   // the file that it makes, below that; slash-separated
	Limits Limits
}

var (
	outputPattern = regexp.MustCompile(`^[^/]`)
	sizePattern   = regexp.MustCompile(`^[0-9]{1,15}([kKMGT]i?)?B?$`)
)

// Keys returns the key "command" with all that stands under it. Its Settings are a *Command.
func Keys() yamlfile.Builder {
	b := yamlfile.NewBuilder(Key, "Builder key: a command that makes one file from the commit and what overland.lock holds.", commandKeys())
	b.Example = "for a command: command: {run: [sh, build.sh], output: out/NAME}"
	return b
}

func commandKeys() []yamlfile.Key[Command] {
	return []yamlfile.Key[Command]{
		yamlfile.Command("run", "A program and its arguments, run at the top of a copy of the commit: [sh, build.sh].", "[sh, build.sh]",
			func(c *Command) *[]string { return &c.Run }).Must(),
		{
			Name: "output", Doc: "The file that it makes, a path inside that copy: out/app.", Required: true,
			Schema: yamlfile.Schema{"type": "string", "pattern": outputPattern},
			Set:    setOutput, Get: func(c *Command) any { return c.Output },
		},
		yamlfile.Nested("limits", "What it may use at most, with all that it starts; a command that uses more is ended.", limitKeys(),
			func(c *Command) *Limits { return &c.Limits }),
	}
}

func setOutput(d *yamlfile.Decoder, n yamlfile.Node, c *Command) {
	s, ok := d.Text(n, "output")
	clean := path.Clean(s)
	if ok && (!outputPattern.MatchString(s) || !filepath.IsLocal(clean) || clean == "." || strings.ContainsAny(s, "\\\n")) {
		d.Fail(n, "write it like out/app", "output %.60q is not a file inside the repository", s)
		return
	}
	c.Output = clean
}
