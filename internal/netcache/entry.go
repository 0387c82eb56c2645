package netcache

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// Limits of foreign bytes.
const (
	EntryLimit    = 256 << 10 // bytes of one entry as it is sent
	ListLimit     = 16 << 20  // bytes of the list of one key
	listMost      = 1 << 15   // elements of it
	KeyLimit      = 1024      // bytes of a key
	depthLimit    = 32        // nested values in metadata; Python's parser gives up at about 1000
	numberLimit   = 64        // bytes of a number; Python refuses integers of more than 4300 digits
	nameLength    = 128       // hex digits of a sha512
	signatureSize = 16 << 10  // characters of a signature
)

// Entry is one element of a key's list. Metadata is kept code point by code
// point: the signature covers it.
type Entry struct {
	Metadata  string         // a JSON object, as text
	Signature string         // standard base64; "" is unsigned
	Fields    map[string]any // Metadata, parsed: map[string]any, []any, string, json.Number, bool or nil
}

// Name returns the sha512 of the blob that e is about.
func (e Entry) Name() string { return e.Text("sha512") }

// Text returns the metadata field name when it is a string, else "".
func (e Entry) Text(name string) string {
	s, _ := e.Fields[name].(string)
	return s
}

// ValidName reports whether s names a blob: 128 lower-case hex digits.
func ValidName(s string) bool {
	return len(s) == nameLength && strings.Trim(s, "0123456789abcdef") == ""
}

// CheckKey returns an error (errs.Invalid) for what cannot be a key: empty, too long,
// not UTF-8, or with control characters. Any other character may be there, also "/"
// and "..": a key is never a path.
func CheckKey(key string) error {
	switch {
	case key == "":
		return errs.Errorf(errs.Invalid, "the key is empty")
	case len(key) > KeyLimit:
		return errs.Errorf(errs.Invalid, "the key has %d bytes, at most %d are allowed", len(key), KeyLimit)
	case !utf8.ValidString(key):
		return errs.Errorf(errs.Invalid, "key %q is not UTF-8", key)
	case strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errs.Errorf(errs.Invalid, "key %q has control characters", key)
	}
	return nil
}

// NewEntry returns the entry of metadata and signature, or an error (errs.Invalid) for
// one that a server must refuse.
func NewEntry(metadata, signature string) (Entry, error) {
	e := Entry{Metadata: metadata, Signature: signature}
	if err := e.check(); err != nil {
		return Entry{}, errs.E(errs.Invalid, err)
	}
	return e, nil
}

// ParseEntry parses the body of a PUT: a JSON array of exactly two strings, at most
// EntryLimit bytes. It is strict, because one malformed element makes old clients refuse the
// whole list. The error is errs.Invalid.
func ParseEntry(b []byte) (Entry, error) {
	e, err := parseEntry(b)
	if err != nil {
		return Entry{}, errs.E(errs.Invalid, err)
	}
	return e, nil
}

func parseEntry(b []byte) (Entry, error) {
	if len(b) > EntryLimit {
		return Entry{}, fmt.Errorf("an entry of more than %d bytes", EntryLimit)
	}
	if !utf8.Valid(b) || !paired(string(b)) {
		return Entry{}, fmt.Errorf("the entry is not Unicode text")
	}
	var pair []*string
	if err := json.Unmarshal(b, &pair); err != nil {
		return Entry{}, fmt.Errorf("the entry is not a list of two strings")
	}
	if len(pair) != 2 || pair[0] == nil || pair[1] == nil {
		return Entry{}, fmt.Errorf("the entry is not a list of two strings: it has %d elements", len(pair))
	}
	e := Entry{Metadata: *pair[0], Signature: *pair[1]}
	return e, e.check()
}

func (e *Entry) check() error {
	if len(e.Metadata) > EntryLimit || len(e.Signature) > signatureSize {
		return fmt.Errorf("an entry of more than %d bytes", EntryLimit)
	}
	if err := CheckSignature(e.Signature); err != nil {
		return err
	}
	v, err := parseJSON(e.Metadata)
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("the metadata is not a JSON object")
	}
	e.Fields = fields
	if !ValidName(e.Name()) {
		return fmt.Errorf("the metadata has no sha512 of 128 lower-case hex digits")
	}
	return nil
}

// CheckSignature returns an error unless s is "" or standard base64 with padding on one line.
func CheckSignature(s string) error {
	if _, err := base64.StdEncoding.Strict().DecodeString(s); err != nil || strings.ContainsAny(s, "\r\n") {
		return errs.Errorf(errs.Invalid, "the signature is not base64 on one line")
	}
	return nil
}

// ParseList reads the list of one key, at most ListLimit bytes. Elements that are not entries are
// left out and counted in bad: one of them does not hide the others. The error is errs.Invalid
// when the whole is not a JSON list.
func ParseList(r io.Reader) (list []Entry, bad int, err error) {
	b, err := fsx.Read(r, "the list", ListLimit)
	if err != nil {
		return nil, 0, err
	}
	wrong := func(err error) ([]Entry, int, error) {
		return nil, 0, errs.Errorf(errs.Invalid, "not a JSON list of entries: %w", err)
	}
	// One by one: "1," has two bytes, and 24 in a slice.
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return wrong(cmp.Or(err, errors.New("it begins otherwise")))
	}
	for d.More() {
		var one json.RawMessage
		if err := d.Decode(&one); err != nil {
			return wrong(err)
		}
		if len(list)+bad == listMost {
			return wrong(fmt.Errorf("it has more than %d", listMost))
		}
		e, err := parseEntry(one)
		if err != nil {
			bad++
			continue
		}
		list = append(list, e)
	}
	if _, err := d.Token(); err != nil {
		return wrong(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return wrong(errors.New("something follows it"))
	}
	return list, bad, nil
}

// EncodeEntry returns e as it is sent.
func EncodeEntry(e Entry) []byte { return encode([2]string{e.Metadata, e.Signature}) }

// EncodeList returns the list as it is sent; an empty one is "[]".
func EncodeList(list []Entry) []byte {
	pairs := make([][2]string, len(list))
	for i, e := range list {
		pairs[i] = [2]string{e.Metadata, e.Signature}
	}
	return encode(pairs)
}

func encode(v any) []byte {
	var b bytes.Buffer
	w := json.NewEncoder(&b)
	w.SetEscapeHTML(false)
	if err := w.Encode(v); err != nil {
		panic("shacache: strings that cannot be JSON: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// paired reports whether every \uXXXX escape of a surrogate in the JSON text s is half of a pair.
// Go would read a lone one as U+FFFD, which is another text than the one that was signed.
func paired(s string) bool {
	half := rune(0) // a high surrogate that waits for its low one
	for i := 0; i < len(s); i++ {
		r := rune(0)
		if s[i] == '\\' && i+1 < len(s) {
			if s[i+1] == 'u' && i+6 <= len(s) {
				if raw, err := hex.DecodeString(s[i+2 : i+6]); err == nil {
					r = rune(raw[0])<<8 | rune(raw[1])
				}
				i += 5
			} else {
				i++
			}
		}
		const high, low, end = 0xd800, 0xdc00, 0xe000
		isLow := r >= low && r < end
		if isLow != (half != 0) {
			return false
		}
		half = 0
		if r >= high && r < low {
			half = r
		}
	}
	return half == 0
}
