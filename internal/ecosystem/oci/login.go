package oci

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// Login is a name and its password, or token, at a registry.
type Login struct{ Name, Password string }

// basic returns l as HTTP sends it.
func (l Login) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(l.Name+":"+l.Password))
}

const loginsLimit = 1 << 20 // bytes of a file with logins

// ReadLogin returns the login in file for the registry called name at address, or ok = there is none. file has the form of
// docker's config.json, as docker login, podman login --authfile and skopeo login --authfile write it; nobody else may
// read it. What that names but logins, as programs that know one, is not obeyed.
func ReadLogin(file, name, address string) (l Login, ok bool, err error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return l, false, errs.Hint(errs.Errorf(errs.NotFound, "there is no file %s with logins", file), "podman login --authfile %s %s", file, name)
	}
	if err != nil {
		return l, false, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return l, false, errs.Hint(errs.Errorf(errs.Denied, "%s holds logins, and others can read it", file), "chmod 600 %s", file)
	}
	b, err := fsx.ReadFile(file, loginsLimit)
	if err != nil {
		return l, false, err
	}
	var config struct {
		Auths map[string]struct {
			Auth     string `json:"auth"` // base64 of NAME:PASSWORD
			Username string `json:"username"`
			Password string `json:"password"`
		} `json:"auths"`
	}
	if json.Unmarshal(b, &config) != nil { // its error may show a part of the file
		return l, false, errs.Errorf(errs.Invalid, "%s: it is not in the form of docker's config.json", file)
	}
	for key, a := range config.Auths {
		if host := hostOf(key); host != name && host != hostOf(address) {
			continue
		}
		l = Login{a.Username, a.Password}
		if a.Auth != "" {
			text, err := base64.StdEncoding.DecodeString(a.Auth)
			if err != nil {
				return Login{}, false, errs.Errorf(errs.Invalid, "%s: the login for %s is not in base64", file, name)
			}
			l.Name, l.Password, _ = strings.Cut(string(text), ":")
		}
		if l.Name == "" || l.Password == "" {
			return Login{}, false, errs.Errorf(errs.Invalid, "%s: the login for %s is not a name with a password", file, name)
		}
		return l, true, nil
	}
	return l, false, nil
}

// hostOf returns the host, and port, in an address, or in what docker calls a login after.
func hostOf(address string) string {
	_, rest, ok := strings.Cut(address, "://")
	if !ok {
		rest = address
	}
	host, _, _ := strings.Cut(rest, "/")
	return host
}
