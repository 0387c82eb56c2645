package golang

import (
	"go/ast"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// habits is what a program's sources, its README and its Dockerfile say about how it runs.
type habits struct {
	points int         // how much speaks for a server
	ports  map[int]int // port → how much speaks for it
	health string      // path of a page that says how it is; "" = none seen
	verb   string      // the sub-command that serves
	verbs  bool        // it does nothing without a sub-command
}

// enough is how many points make a service. One call that listens, deep in the code, is not enough:
// tools listen too, for the answer to a login or for the time of a command.
const (
	enough = 3
	many   = 4 // calls that listen: more than a tool has
)

var (
	listening   = regexp.MustCompile(`^(ListenAndServe(TLS)?|Serve(TLS)?|Listen(TCP|UDP|Packet|Config)?)$`)
	framework   = regexp.MustCompile(`/(cobra|urfave/cli)(/v\d+)?$`)
	portName    = regexp.MustCompile(`(?i)(listen|addr|port$|^port|bind)`)
	hostPort    = regexp.MustCompile(`^(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])?:(\d{2,5})$`)
	healthPath  = regexp.MustCompile(`^/(?:-/|api/|v1/)*(?:healthz?|healthy|healthcheck|livez|readyz)$`)
	servingVerb = regexp.MustCompile(`^(serve|server|daemon|run)\b`)
	readmePort  = regexp.MustCompile(`(?:localhost|127\.0\.0\.1|0\.0\.0\.0):(\d{2,5})\b`)
	exposed     = regexp.MustCompile(`(?im)^\s*EXPOSE\s+(\d{2,5})`)
)

// habitsOf reads the command f and the packages of its module that it imports, at most a few thousand
// files.
func (s *search) habitsOf(f found) (*habits, error) {
	h := &habits{ports: map[int]int{}}
	top := s.modules[f.module]
	queue, seen, files := []string{f.dir}, map[string]bool{f.dir: true}, 0
	var near, uses bool
	places := 0
	for len(queue) > 0 && files < 3000 {
		dir := queue[0]
		queue = queue[1:]
		list, err := s.sources(dir)
		if err != nil {
			continue // made when it is built
		}
		files += len(list)
		for _, file := range list {
			n := h.read(file, dir == f.dir)
			places += n
			near = near || n > 0 && dir == f.dir
		}
		for _, p := range imports(list) {
			uses = uses || framework.MatchString(p)
			below, ok := strings.CutPrefix(p, top+"/")
			if next := path.Join(f.module, below); ok && !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
	}
	if places > 0 {
		h.points += 2
	}
	if places >= many {
		h.points++
	}
	if near {
		h.points++
	}
	if len(h.ports) > 0 {
		h.points++
	}
	name := path.Base(f.dir)
	if f.dir == f.module {
		name = s.baseName(f.module)
	}
	if strings.Contains(name, "server") || strings.Contains(name, "daemon") || strings.HasSuffix(name, "exporter") || name == "node" {
		h.points += 2
	}
	if h.verbs = uses; uses {
		h.points -= 2
		switch h.verb {
		case "":
		case "run":
			h.points++ // every second tool runs something
		default:
			h.points += 2
		}
	} else {
		h.verb = ""
	}
	return h, s.readDocs(h, f)
}

// readDocs adds what Dockerfile and README say.
func (s *search) readDocs(h *habits, f found) error {
	for _, dir := range slices.Compact([]string{f.module, "."}) {
		entries, err := fs.ReadDir(s.dir, dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			lower := strings.ToLower(e.Name())
			what, points := readmePort, 2
			switch {
			case !e.Type().IsRegular():
				continue
			case lower == "dockerfile":
				what, points = exposed, 4
			case !strings.HasPrefix(lower, "readme"):
				continue
			}
			b, err := head(s.dir, path.Join(dir, e.Name()))
			if err != nil {
				return err
			}
			for _, m := range what.FindAllSubmatch(b, -1) {
				h.port(string(m[1]), points)
				points = 0 // the first one is the one that is meant
			}
			if what == exposed && what.Match(b) {
				h.points += 2
			}
		}
	}
	return nil
}

// read looks through a file, and returns how many places in it listen.
func (h *habits) read(file *ast.File, near bool) (places int) {
	weight := 1
	if near {
		weight = 3
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && listening.MatchString(sel.Sel.Name) {
				places++
			}
			h.call(n, weight)
		case *ast.CompositeLit:
			if sel, ok := n.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Server" {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "http" {
					places++
				}
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok {
				if verb := servingVerb.FindString(text(n.Value)); (key.Name == "Use" || key.Name == "Name") && verb != "" && (h.verb == "" || h.verb == "run") {
					h.verb = verb
				}
				h.named(key.Name, n.Value, weight)
			}
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if i < len(n.Values) {
					h.named(name.Name, n.Values[i], weight)
				}
			}
		case *ast.BasicLit:
			s := text(n)
			if m := hostPort.FindStringSubmatch(s); m != nil {
				h.port(m[1], 1)
			}
			if healthPath.MatchString(s) && (h.health == "" || len(s) < len(h.health)) {
				h.health = s
			}
		}
		return true
	})
	return places
}

// call looks for a port among the arguments of a call: of a flag, or of what listens.
func (h *habits) call(n *ast.CallExpr, weight int) {
	about := ""
	for _, a := range n.Args {
		if s := text(a); portName.MatchString(s) && hostPort.FindString(s) == "" {
			about = s
		}
	}
	for _, a := range n.Args {
		if m := hostPort.FindStringSubmatch(text(a)); m != nil {
			h.port(m[1], weight)
		}
		if about != "" {
			h.named(about, a, weight)
		}
	}
}

// named looks for a port in a value whose name speaks of one.
func (h *habits) named(name string, value ast.Expr, weight int) {
	if !portName.MatchString(name) {
		return
	}
	if m := hostPort.FindStringSubmatch(text(value)); m != nil {
		h.port(m[1], weight)
	}
	if lit, ok := value.(*ast.BasicLit); ok && strings.Contains(strings.ToLower(name), "port") {
		h.port(strings.Trim(lit.Value, "\"`"), weight)
	}
}

func (h *habits) port(s string, points int) {
	const lowest, highest = 80, 65535
	if n, err := strconv.Atoi(s); err == nil && n >= lowest && n <= highest {
		h.ports[n] += points
	}
}

// likeliest returns the port for which most speaks; 0 = none.
func (h *habits) likeliest() int {
	best := 0
	for _, p := range slices.Sorted(maps.Keys(h.ports)) {
		if best == 0 || h.ports[p] > h.ports[best] {
			best = p
		}
	}
	return best
}

// text returns the string that e is, "" when it is not a literal.
func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return s
}
