package netcache

import (
	"net/url"
	"strings"

	"overland/internal/errs"
	"overland/internal/httpx"
)

// CheckPublic returns an error (errs.Invalid) when the URL s holds what must not be published with
// an entry: a user's name or password, or a token among the words after "?" or "#". The error shows
// neither the URL nor the secret.
func CheckPublic(s string) error {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil {
		return errs.Errorf(errs.Invalid, "an address that is not a URL: it would be public, and may hold a password")
	}
	if u.User != nil {
		return errs.Hint(errs.Errorf(errs.Invalid, "the URL holds a user's name or password, and would be public"), "give it without")
	}
	for _, part := range []string{u.RawQuery, u.Fragment} {
		values, _ := url.ParseQuery(strings.ReplaceAll(part, ";", "&"))
		for name, v := range values {
			if !httpx.Secret(name) {
				continue
			}
			if strings.Join(v, "") == "" {
				name = "…" // it may be the secret itself
			}
			return errs.Hint(errs.Errorf(errs.Invalid, "the URL holds a token or key (%.40q), and would be public", name),
				"give it without; who gets it from there has his own")
		}
	}
	return nil
}

// CheckFields is CheckPublic for every URL in the fields of an entry, at any depth.
func CheckFields(v any) error {
	switch v := v.(type) {
	case string:
		if strings.Contains(v, "://") && !strings.ContainsAny(strings.TrimSpace(v), " \t\r\n") {
			return CheckPublic(v)
		}
	case []any:
		for _, one := range v {
			if err := CheckFields(one); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, one := range v {
			if err := CheckFields(one); err != nil {
				return err
			}
		}
	}
	return nil
}
