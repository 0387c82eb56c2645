package golang

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"overland/internal/errs"
)

// Env is the part of the go command's configuration that matters here, as go env prints it.
type Env struct {
	GOPROXY, GOSUMDB, GONOSUMDB, GOROOT, GOPATH, GOBIN string
}

// ReadEnv asks the go command of the machine for its configuration, in the folder dir.
func ReadEnv(ctx context.Context, dir string) (Env, error) {
	var e Env
	cmd := exec.CommandContext(ctx, "go", "env", "-json", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GOROOT", "GOPATH", "GOBIN")
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "GOTOOLCHAIN=local") // a toolchain that a go.mod here asks for is the session's to fetch
	out, err := cmd.Output()
	if err != nil {
		return e, fmt.Errorf("go env: %w", err)
	}
	return e, json.Unmarshal(out, &e)
}

// proxies returns the URLs of the proxies in GOPROXY, without a trailing slash; "direct" and
// "off" are not proxies. A file: URL is kept and fails when it is used: skipping it would fetch
// its modules from another proxy.
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
