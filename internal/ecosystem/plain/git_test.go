package plain_test

import (
	"net/http"
	"net/http/cgi"
	"os/exec"
	"strings"
)

// backend serves the repositories below root with git http-backend.
func backend(root string) http.Handler {
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return http.NotFoundHandler()
	}
	return &cgi.Handler{
		Path: strings.TrimSpace(string(out)) + "/git-http-backend",
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"},
	}
}
