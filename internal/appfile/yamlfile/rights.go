package yamlfile

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"overland/internal/appfile"
	"overland/internal/confine"
	"overland/internal/progress"
)

var (
	sizePattern   = regexp.MustCompile(`^[1-9][0-9]*([kKMGT]i?B?|B)?$`)
	devicePattern = regexp.MustCompile(`^/dev/[A-Za-z0-9._/-]+$`)
	cleanPattern  = regexp.MustCompile(`^(/[A-Za-z0-9@_+:,=-][A-Za-z0-9@._+:,=-]*)+$`)
)

// rightsKeys are what a service asks for beyond the least that every service has.
func rightsKeys() []Key[service] {
	return []Key[service]{
		{
			Name: "capabilities",
			Doc: "Rights of root's that it keeps, such as net_bind_service for ports below 1024: names as in capabilities(7), in small letters without cap_; none when left out. " +
				"With " + strings.Join(confine.Escapes(), ", ") + " nothing keeps it apart: they take isolation: none.",
			Schema: list(Schema{"enum": confine.Capabilities()}),
			Set: func(d *Decoder, n Node, s *service) {
				s.places["capabilities"] = n
				d.list(n, "capabilities", func(v Node) {
					if c, ok := d.oneOf(v, "capability", confine.Capabilities()...); ok && !slices.Contains(s.Capabilities, c) {
						s.Capabilities = append(s.Capabilities, c)
					}
				})
			},
			Get: func(s *service) any { return s.Capabilities },
		},
		Nested("limits", "What it may use at most, with all that it starts; no limit when left out.", limitKeys(),
			func(s *service) *appfile.Limits { return &s.Limits }),
		List("writable", "path", "Paths of the machine that it may write to beside its volumes; the system is read-only.", cleanPattern,
			"an absolute path", func(s *service) *[]string { return &s.Writable }),
		List("devices", "device", "Device files of the machine that it may use, such as /dev/ttyUSB0; none of the hardware when left out.", devicePattern,
			"a path below /dev", func(s *service) *[]string { return &s.Devices }),
		OneOf("isolation", "How far it is kept apart from the machine: as far as the machine can (when left out); required: it does not start "+
			"where that is not all of it; none: it has the machine's files, processes and system calls, with all rights of its user.",
			[]string{string(appfile.Required), string(appfile.NoIsolation)}, func(s *service) *string { return (*string)(&s.Isolation) }),
		OneOf("seccomp", "unconfined: it may use every system call; the default filter of containers when left out.",
			[]string{appfile.Unconfined}, func(s *service) *string { return &s.Seccomp }),
	}
}

func limitKeys() []Key[appfile.Limits] {
	const most = 1 << 22
	return []Key[appfile.Limits]{
		{
			Name: "memory", Doc: "Memory, like 512MiB; what uses more is ended.",
			Schema: Schema{"type": []string{"string", "integer"}, "pattern": sizePattern},
			Set: func(d *Decoder, n Node, l *appfile.Limits) {
				text, ok := d.word(n, "memory")
				if !ok {
					return
				}
				const least = 1 << 20
				v, err := progress.ParseBytes(text)
				if err != nil || v < least {
					d.Fail(n, "write it like 512MiB; at least 1MiB", "memory %.60q: not a size", text)
					return
				}
				l.Memory = v
			},
			Get: func(l *appfile.Limits) any { return plain(sizeText(l.Memory)) },
		},
		Number("processes", "Processes and threads at once; 4096 when left out, where the machine has control groups.", 1, most, func(l *appfile.Limits) *int { return &l.Processes }),
		Number("files", "Open files of one process; 1024 when left out, which it may raise to 524288.", 1, most, func(l *appfile.Limits) *int { return &l.Files }),
		{
			Name: "cpu", Doc: "Processors, like 1.5.", Schema: Schema{"type": "number", "minimum": 0.01, "maximum": 4096},
			Set: func(d *Decoder, n Node, l *appfile.Limits) {
				const least, top = 0.01, 4096
				text := n.GetToken().Value
				v, err := strconv.ParseFloat(text, 64)
				if _, word := n.(*ast.StringNode); word || err != nil || v < least || v > top {
					d.Fail(n, "write it like 1.5", "cpu %.60s: not a number of processors between 0.01 and 4096", text)
					return
				}
				l.CPU = v
			},
			Get: func(l *appfile.Limits) any {
				if l.CPU == 0 {
					return nil
				}
				return plain(strconv.FormatFloat(l.CPU, 'g', -1, 64))
			},
		},
	}
}

// sizeText returns n as ParseBytes reads it; "" for 0.
func sizeText(n int64) string {
	if n == 0 {
		return ""
	}
	units := []string{"", "KiB", "MiB", "GiB", "TiB"}
	at := 0
	for ; at < len(units)-1 && n%1024 == 0; at++ {
		n /= 1024
	}
	return strings.TrimSpace(strconv.FormatInt(n, 10) + units[at])
}
