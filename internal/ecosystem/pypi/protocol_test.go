package pypi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"overland/internal/ecosystem/pypi"
	"overland/internal/errs"
)

// The machine's own pip: what is configured, else what it has built in.
func TestMachineConfig(t *testing.T) {
	t.Setenv("PIP_CONFIG_FILE", "/dev/null")
	t.Setenv("PIP_INDEX_URL", "http://me:word@index.invalid/simple/")
	if c, err := pypi.MachineConfig(t.Context()); err != nil || c.Index != "http://me:word@index.invalid/simple/" {
		t.Errorf("%+v, %v", c, err)
	}
	t.Setenv("PIP_INDEX_URL", "")
	p := pypi.Machine(nil)
	it, err := p.ItemOf("tea")
	if err == nil {
		it, err = p.Locate(t.Context(), it, nil)
	}
	if err != nil || !strings.HasPrefix(it.Upstream, "https://") || !strings.HasSuffix(it.Upstream, "/tea/") {
		t.Errorf("%+v, %v", it, err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := pypi.MachineConfig(t.Context()); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" || pypi.Installed() {
		t.Errorf("without pip: %v", err)
	}
}

func TestMethods(t *testing.T) {
	p := pypi.Machine(nil)
	if _, err := p.Item(httptest.NewRequest(http.MethodPost, "http://r/simple/tea/", nil)); errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
	if env := p.Env("http://r/pypi/"); env[0] != "PIP_INDEX_URL=http://r/pypi/simple/" {
		t.Errorf("%q", env)
	}
}
