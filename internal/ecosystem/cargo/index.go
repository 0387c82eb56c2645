package cargo

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// Limits of what a registry says.
const (
	indexLimit  = 64 << 20 // bytes of an index file
	lineLimit   = 4 << 20  // bytes of one version in it
	configLimit = 64 << 10 // bytes of config.json
)

// index is what is read of an index file: the checksum, in hexadecimal, of each version.
// Crates are compared without regard to case, so one file may write the name in several
// ways; the index itself says which.
type index map[string]string

// line is what is read of one version.
type line struct {
	Name  string `json:"name"`
	Vers  string `json:"vers"`
	Cksum string `json:"cksum"`
}

// readIndex reads r, the index file of the crate called name, in lower case:
// errs.Untrusted when it is not that.
func readIndex(r io.Reader, name string) (index, error) {
	lines := bufio.NewScanner(fsx.Limit(r, indexLimit))
	lines.Buffer(nil, lineLimit)
	x := index{}
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if err := x.add(lines.Bytes(), name); err != nil {
			return nil, errs.E(errs.Untrusted, fmt.Errorf("index of %s: line %d: %w", name, n, err))
		}
	}
	err := lines.Err()
	switch {
	case err != nil:
	case len(x) == 0:
		err = errors.New("it names no version")
	default:
		return x, nil
	}
	return nil, errs.E(errs.Untrusted, fmt.Errorf("index of %s: %w", name, err))
}

func (x index) add(b []byte, name string) error {
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		return err
	}
	if strings.ToLower(l.Name) != name {
		return fmt.Errorf("it is of %.200q", l.Name)
	}
	sum := strings.ToLower(l.Cksum)
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != 32 { // bytes of a sha256
		return fmt.Errorf("cksum %.200q", l.Cksum)
	}
	if old, ok := x[l.Vers]; ok && old != sum {
		return fmt.Errorf("version %.200q is there twice, with different checksums", l.Vers)
	}
	x[l.Vers] = sum
	return nil
}

// config is what is read of config.json.
type config struct {
	DL   string `json:"dl"`
	Auth bool   `json:"auth-required"`
}

// readConfig reads r, a config.json: errs.Untrusted when it is not one.
func readConfig(r io.Reader) (config, error) {
	var c config
	b, err := fsx.Read(r, "config.json", configLimit)
	if errors.Is(err, fsx.ErrTooLong) {
		return c, errs.E(errs.Untrusted, err)
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, errs.E(errs.Untrusted, fmt.Errorf("config.json: %w", err))
	}
	if c.Auth {
		return c, errs.Errorf(errs.Denied, "the registry requires a token, which a recorder does not pass on")
	}
	_, err = c.crate(request{Name: "tea", Version: "1.0.0"}, "")
	return c, err
}

// crate returns the address of the crate q, whose checksum is sum.
func (c config) crate(q request, sum string) (string, error) {
	markers := strings.NewReplacer("{crate}", q.Name, "{version}", q.Version, "{prefix}", prefix(q.Name),
		"{lowerprefix}", strings.ToLower(prefix(q.Name)), "{sha256-checksum}", sum)
	address := markers.Replace(c.DL)
	if address == c.DL {
		address = strings.TrimRight(c.DL, "/") + "/" + q.Name + "/" + q.Version + "/download"
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", errs.Errorf(errs.Untrusted, "config.json says that crates are at %.200q, which is neither http nor https", c.DL)
	}
	return u.String(), nil
}
