package golang

import (
	"cmp"
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// Env is the part of the go command's configuration that matters here, as go env prints it.
type Env struct {
	GOPROXY, GOSUMDB, GONOSUMDB, GOROOT, GOPATH, GOBIN, GOCACHE string
}

// ReadEnv asks the go command of the machine for its configuration, away from any checkout: a
// go.mod there would ask for another toolchain.
func ReadEnv(ctx context.Context) (Env, error) {
	var e Env
	out, err := tool.Ask(ctx, tool.Question{
		Argv: []string{"go", "env", "-json", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GOROOT", "GOPATH", "GOBIN", "GOCACHE"},
		Keep: []string{"GO"}, Set: []string{"GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS="},
	})
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(out, &e)
}

// heldEnv returns what the checks of a lock need of the configuration, read from the files in which
// the go command keeps it: the environment counts first, then the user's file, then the
// toolchain's. Nothing is run.
func heldEnv() (Env, error) {
	root := os.Getenv("GOROOT")
	if root == "" {
		path, err := exec.LookPath("go")
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			return Env{}, errs.E(errs.NotFound, err)
		}
		root = filepath.Dir(filepath.Dir(path))
	}
	own, err := settings(filepath.Join(root, "go.env"))
	if err != nil {
		return Env{}, errs.Hint(errs.Errorf(errs.Unavailable, "the go command in PATH does not lie in a toolchain of Go 1.21 or later: %w", err),
			"export GOROOT=\"$(go env GOROOT)\"")
	}
	file := os.Getenv("GOENV")
	if dir, err := os.UserConfigDir(); err == nil && file == "" {
		file = filepath.Join(dir, "go", "env")
	}
	var users map[string]string
	if filepath.IsAbs(file) { // not "off", which could be a file of the folder
		users, _ = settings(file) // there may be none
	}
	value := func(name string) string { return cmp.Or(os.Getenv(name), users[name], own[name]) }
	return Env{GOSUMDB: value("GOSUMDB"), GONOSUMDB: cmp.Or(value("GONOSUMDB"), value("GOPRIVATE")), GOROOT: root}, nil
}

// settings returns what a file of the go command's configuration holds: NAME=value in lines.
func settings(file string) (map[string]string, error) {
	const limit = 1 << 20
	b, err := fsx.ReadFile(file, limit)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			found[name] = value
		}
	}
	return found, nil
}

// proxies returns the URLs of the proxies in GOPROXY, without a trailing slash, folders (file:) among
// them; "direct" and "off" are not proxies.
func (e Env) proxies() []string {
	var list []string
	for s := range strings.FieldsFuncSeq(e.GOPROXY, func(r rune) bool { return r == ',' || r == '|' }) {
		s = strings.TrimRight(strings.TrimSpace(s), "/")
		if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "file://") {
			list = append(list, s)
		}
	}
	return list
}

// database is a checksum database: its name, its verifier key ("" = not known) and where it is.
type database struct{ name, key, url string }

// database returns the database that GOSUMDB names; false when it is off. The keys of databases
// that GOSUMDB may give by name only are in the go command's source, which every toolchain has.
func (e Env) database() (database, bool, error) {
	fields := strings.Fields(e.GOSUMDB)
	if len(fields) == 0 || fields[0] == "off" {
		return database{}, false, nil
	}
	db := database{name: fields[0]}
	if strings.Contains(db.name, "+") {
		v, err := note.NewVerifier(fields[0])
		if err != nil {
			return db, false, errs.Errorf(errs.Invalid, "GOSUMDB: %w", err)
		}
		db.name, db.key = v.Name(), fields[0]
	} else {
		db.key = knownKey(e.GOROOT, db.name)
	}
	db.url = "https://" + db.name
	if len(fields) > 1 {
		db.url = strings.TrimRight(fields[1], "/")
	}
	return db, true, nil
}

// knownKey returns the verifier key that the toolchain in goroot knows
// for a checksum database, or "".
func knownKey(goroot, name string) string {
	file := filepath.Join(goroot, "src", "cmd", "go", "internal", "modfetch", "key.go")
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return ""
	}
	key := ""
	ast.Inspect(f, func(n ast.Node) bool {
		pair, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		if unquote(pair.Key) == name {
			key = unquote(pair.Value)
		}
		return true
	})
	return key
}

func unquote(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return s
}
