package keys_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/trust/keys"
)

func TestSignaturesOfOtherTools(t *testing.T) {
	want := append(bytes.Repeat([]byte{' '}, 32), bytes.Repeat([]byte{0xfb}, 32)...)
	text := base64.StdEncoding.EncodeToString(want)
	for name, b := range map[string][]byte{
		"raw":                want,
		"hexadecimal":        []byte(strings.ToUpper(hex.EncodeToString(want)) + "\r\n"),
		"base64":             []byte(text),
		"base64, two lines":  []byte("\n" + text[:64] + "\n" + text[64:] + "\n"),
		"base64, not padded": []byte(strings.TrimRight(text, "=")),
	} {
		if got, err := keys.ParseSignature(b); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	for name, b := range map[string][]byte{
		"nothing":          {},
		"a byte more":      append(bytes.Clone(want), '\n'),
		"a byte less":      want[:63],
		"63 bytes, base64": []byte(base64.StdEncoding.EncodeToString(want[:63])),
		"65 bytes, base64": []byte(base64.StdEncoding.EncodeToString(append(bytes.Clone(want), 0))),
		"too long":         append([]byte(text), bytes.Repeat([]byte{'\n'}, keys.MaxSignature)...),
	} {
		if got, err := keys.ParseSignature(b); errs.KindOf(err) != errs.Invalid || !strings.Contains(errs.HintOf(err), "openssl") || got != nil {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	_, err := keys.ParseSignature([]byte("-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"))
	if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "envelope") {
		t.Errorf("an envelope: %v", err)
	}
}
