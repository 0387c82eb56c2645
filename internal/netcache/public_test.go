package netcache_test

import (
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/netcache"
)

func TestCheckPublic(t *testing.T) {
	for s, ok := range map[string]bool{
		"https://h.example/a-1.0.tar.gz":                            true,
		"https://h.example/p/raw/1.0/software.cfg?ref=v1&inline=no": true,
		"/srv/x":                                       true,
		"https://u:s3cret@h.example/a":                 false,
		"ssh://git@h.example/a":                        false,
		"https://h.example/a?token=s3cret":             false,
		"https://h.example/a?x=1&private_token=s3cret": false,
		"https://h.example/a?X-Amz-Signature=s3cret":   false,
		"https://h.example/a?sv=1;sig=s3cret":          false,
		"https://h.example/a#access_token=s3cret":      false,
		"https://h.example/a?to%6ben=s3cret":           false,
		"https://h.example/a?API-Key=s3cret":           false,
		"https://h.example/a?token-s3cret":             false,
		"https://u:s3cret%zz@h.example/a":              false,
	} {
		err := netcache.CheckPublic(s)
		if (err == nil) != ok || err != nil && (errs.KindOf(err) != errs.Invalid || strings.Contains(err.Error()+errs.HintOf(err), "s3cret")) {
			t.Errorf("%s: %v", s, err)
		}
		deep := map[string]any{"a": []any{"text", map[string]any{"b": s}}}
		if err := netcache.CheckFields(deep); (err == nil) != ok {
			t.Errorf("%s in a field: %v", s, err)
		}
	}
	if err := netcache.CheckFields(map[string]any{"note": "see https://u:p@h/ for more", "n": true}); err != nil {
		t.Error(err)
	}
}
