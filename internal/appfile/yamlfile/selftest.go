package yamlfile

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"overland/internal/appfile"
)

// check is a Check being read.
type check struct {
	appfile.Check
	service *service
}

func selfTestKey() Key[service] {
	keys := checkKeys()
	return Key[service]{
		Name: "selftest", Doc: "What must hold before a release is good.", Schema: list(Object(keys)),
		Set: func(d *Decoder, n Node, s *service) { setSelfTest(d, n, keys, s) },
		Get: func(s *service) any {
			var list []Mapping
			for _, c := range s.SelfTest {
				list = append(list, Fields(keys, &check{Check: c}))
			}
			return list
		},
	}
}

func setSelfTest(d *Decoder, n Node, keys []Key[check], s *service) {
	d.list(n, "selftest", func(v Node) {
		c := &check{service: s}
		before := len(d.problems)
		Decode(d, v, "a self-test", keys, c)
		if len(d.problems) > before {
			return
		}
		var has []string
		for name, set := range map[string]bool{"http": c.HTTP != "", "tcp": c.TCP != "", "exec": c.Exec != nil, "log": c.Log != ""} {
			if set {
				has = append(has, name)
			}
		}
		slices.Sort(has)
		switch {
		case len(has) != 1:
			d.Fail(v, "make a self-test of its own for each", "a self-test must have one of http, tcp, exec and log; this one has %s", count(has))
		case c.Status != 0 && c.HTTP == "":
			d.Fail(v, "remove it", "status belongs to http, not to %s", has[0])
		case c.Failures != 0 && c.Every == 0:
			d.Fail(v, "write it with every: 30s", "failures belongs to a self-test that goes on")
		case c.Every != 0 && c.Log != "":
			d.Fail(v, "use http, tcp or exec", "every does not belong to log: a line that was logged stays logged")
		case c.Contains != "" && c.HTTP == "" && c.Exec == nil:
			d.Fail(v, "use it with http or exec", "contains does not belong to %s", has[0])
		}
		if s.SelfTest = append(s.SelfTest, c.Check); len(s.SelfTest) == appfile.MaxChecks+1 {
			d.Fail(v, "one program can check many things: exec", "more than %d self-tests of a service", appfile.MaxChecks)
		}
	})
}

func count(has []string) string {
	if len(has) == 0 {
		return "none"
	}
	return strings.Join(has, " and ")
}

func checkKeys() []Key[check] {
	expands := func(_ *Decoder, n Node, c *check) { c.service.expands(n) }
	return []Key[check]{
		{
			Name: "http", Doc: "A URL that must answer.", Schema: Schema{"type": "string", "pattern": "^https?://"},
			Set: setHTTP, Get: func(c *check) any { return c.HTTP },
		},
		Number("status", "The status wanted; any 2xx when left out.", 100, 599, func(c *check) *int { return &c.Status }),
		{
			Name: "tcp", Doc: "An address that must accept: 127.0.0.1:6420.", Schema: Schema{"type": "string", "pattern": ":[0-9]+$"},
			Set: setTCP, Get: func(c *check) any { return c.TCP },
		},
		Command("exec", "A program that must end with 0; the first word may be an artifact's name.", "[node, --version]",
			func(c *check) *[]string { return &c.Exec }).Then(expands),
		{
			Name: "log", Doc: "A regular expression that a line of its log must match.", Schema: Schema{"type": "string", "minLength": 1},
			Set: func(d *Decoder, n Node, c *check) {
				s, ok := d.Text(n, "log")
				if _, err := regexp.Compile(s); err != nil || ok && s == "" {
					d.Fail(n, "the syntax is that of Go's package regexp", "log %.60q is not a regular expression: %v", s, err)
				}
				c.Log = s
			},
			Get: func(c *check) any { return c.Log },
		},
		{
			Name: "contains", Doc: "Text that the answer or the output must hold; " + dottedVars + ".", Schema: Schema{"type": "string"},
			Set: func(d *Decoder, n Node, c *check) {
				c.Contains, _ = d.Text(n, "contains")
				c.service.expands(n)
			},
			Get: func(c *check) any { return c.Contains },
		},
		Duration("within", "The deadline, counted from the start; readiness when left out.", appfile.MaxWithin, func(c *check) *appfile.Duration { return &c.Within }),
		Duration("every", "It goes on after the switch, so often; at least 1s.", appfile.MaxEvery, func(c *check) *appfile.Duration { return &c.Every }).
			Then(func(d *Decoder, n Node, c *check) {
				if c.Every > 0 && time.Duration(c.Every) < appfile.MinEvery {
					d.Fail(n, "write it like 30s", "every %s: at least %s", short(c.Every), appfile.MinEvery)
				}
			}),
		Number("failures", "With every: how many in a row restart the service; 3 when left out.", 1, appfile.MaxFailures, func(c *check) *int { return &c.Failures }),
	}
}

func setHTTP(d *Decoder, n Node, c *check) {
	s, ok := d.Text(n, "http")
	if !ok {
		return
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		d.Fail(n, "write it like http://127.0.0.1:6420/health", "http %.60q is not a URL", s)
		return
	}
	c.HTTP = s
}

func setTCP(d *Decoder, n Node, c *check) {
	s, ok := d.Text(n, "tcp")
	if !ok {
		return
	}
	_, port, err := net.SplitHostPort(s)
	if p, perr := strconv.Atoi(port); err != nil || perr != nil || p < 1 || p > 65535 {
		d.Fail(n, "write it like 127.0.0.1:6420", "tcp %.60q is not host:port", s)
		return
	}
	c.TCP = s
}
