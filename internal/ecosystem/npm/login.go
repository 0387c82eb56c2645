package npm

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"

	"overland/internal/fsx"
)

// Logins are npm's credentials by registry: "//HOST/PATH/:_authToken" and the like, as in npm's
// own files. npm config does not print them, so the files are read. They are used for requests
// only: never printed, never locked.
type Logins map[string]string

// fileLimit is the longest configuration file of npm that is read, in bytes.
const fileLimit = 1 << 20

// loginKey matches the names of settings that are part of a login.
var loginKey = regexp.MustCompile(`^//.*:(_authToken|_auth|username|_password)$`)

// readLogins returns the logins of an npm: the environment's are the strongest, then those of the
// project, whose files are given, the nearest first, then those of files, of the user and the
// machine. A file that cannot be read has none: npm says so itself. Only the user's and the
// machine's may hold ${NAME}: a project would have a variable of the user's sent to where it says.
func readLogins(environ []string, projects [][]byte, files []string) Logins {
	l := Logins{}
	for _, kv := range environ {
		if key, value, ok := setting(kv); ok {
			l.add(key, value)
		}
	}
	for _, b := range projects {
		for key, value := range parse(b) {
			l.add(key, value)
		}
	}
	for _, path := range files {
		if b, err := fsx.ReadFile(path, fileLimit); err == nil {
			for key, value := range parse(b) {
				l.add(expand(key, environ), expand(value, environ))
			}
		}
	}
	return l
}

const envPrefix = "npm_config_"

// setting returns what the variable kv, NAME=VALUE, sets of npm; false when it is not npm's.
func setting(kv string) (key, value string, ok bool) {
	name, value, _ := strings.Cut(kv, "=")
	if len(name) <= len(envPrefix) || !strings.EqualFold(name[:len(envPrefix)], envPrefix) {
		return "", "", false
	}
	return name[len(envPrefix):], value, true
}

// parse returns the settings in b, a file in npm's form: "KEY = VALUE" in lines. Of two in one file
// the last counts.
func parse(b []byte) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, "="); ok {
			found[strings.TrimSpace(key)] = bare(value)
		}
	}
	return found
}

// add adds a login that is not known yet. A login that still names a variable is ignored.
func (l Logins) add(key, value string) {
	unfit := strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) || variable.MatchString(value)
	if _, known := l[key]; !known && !unfit && value != "" && loginKey.MatchString(key) {
		l[key] = value
	}
}

// bare returns a value without its quotes, or without the comment that follows it.
func bare(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 1 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	var quoted string
	if json.Unmarshal([]byte(s), &quoted) == nil {
		return quoted
	}
	if i := strings.IndexAny(s, ";#"); i >= 0 {
		s = s[:i]
	}
	return strings.TrimSpace(s)
}

var variable = regexp.MustCompile(`\$\{([^${}?]+)\??\}`)

// expand replaces ${NAME} with its value in environ; an unset variable stays as it is written.
func expand(s string, environ []string) string {
	return variable.ReplaceAllStringFunc(s, func(name string) string {
		for _, kv := range environ {
			if v, ok := strings.CutPrefix(kv, variable.FindStringSubmatch(name)[1]+"="); ok {
				return v
			}
		}
		return name
	})
}

// header returns the Authorization header for the registry at address; "" = none. As in npm, the login
// with the longest prefix of the address counts.
func (l Logins) header(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	at := "//" + u.Host + u.Path
	for len(at) > len("//") {
		if token := l[at+":_authToken"]; token != "" {
			return "Bearer " + token
		}
		if pair := l[at+":_auth"]; pair != "" {
			return "Basic " + pair
		}
		name, word := l[at+":username"], l[at+":_password"]
		if raw, err := base64.StdEncoding.DecodeString(word); err == nil && name != "" && word != "" {
			return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+string(raw)))
		}
		if shorter, ok := strings.CutSuffix(at, "/"); ok {
			at = shorter
		} else {
			at = at[:strings.LastIndexByte(at, '/')+1] // whole names only: a login of one host is not for another that begins so
		}
	}
	return ""
}
