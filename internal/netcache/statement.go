package netcache

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strconv"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
)

// The statement is bound to its purpose by the words before what is signed.
const (
	statementField   = "x-overland"
	statementVersion = 1
	statementDomain  = "overland shacache entry v1\n"
)

// Statement is what an Ed25519 key says of an entry, in the metadata field "x-overland". Its
// signature covers all of the metadata, so also the sha512, the URL and the platform.
type Statement struct {
	KeyID   string        // of the Ed25519 key that signed
	Key     string        // the only key that the entry may stand under
	Size    int64         // bytes of the blob
	SHA256  digest.Digest // of the blob
	Created time.Time     // whole seconds
	Expires time.Time     // whole seconds; not to be used from then on
	Seq     int64         // a later entry of the same key has a greater one
}

// AddStatement puts s, signed by key, into fields, which become the metadata. s.KeyID is set here.
func AddStatement(fields map[string]any, s Statement, key ed25519.PrivateKey) error {
	public, _ := key.Public().(ed25519.PublicKey)
	k, err := NewKey(public, "")
	if err != nil {
		return err
	}
	number := func(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }
	m := map[string]any{
		"v": number(statementVersion), "keyid": k.ID, "key": s.Key, "size": number(s.Size), "sha256": string(s.SHA256),
		"created": s.Created.UTC().Format(time.RFC3339), "expires": s.Expires.UTC().Format(time.RFC3339), "seq": number(s.Seq),
	}
	fields[statementField] = m
	m["sig"] = base64.StdEncoding.EncodeToString(ed25519.Sign(key, signed(fields)))
	return nil
}

// signed returns the bytes that the statement's signature covers: fields without that signature.
func signed(fields map[string]any) []byte {
	all := maps.Clone(fields)
	if m, ok := all[statementField].(map[string]any); ok {
		m = maps.Clone(m)
		delete(m, "sig")
		all[statementField] = m
	}
	return canonical([]byte(statementDomain), all)
}

// HasStatement reports whether e claims to have a statement.
func HasStatement(e Entry) bool { return e.Fields[statementField] != nil }

// ReadStatement returns the statement of e when one of keys signed it. The error is errs.NotFound
// when there is none, errs.Untrusted when it is malformed, of an unknown key, or the signature does
// not hold. Whether it is about the right key and not expired is for the caller: CheckStatement.
func ReadStatement(e Entry, keys []Key) (Statement, error) {
	if !HasStatement(e) {
		return Statement{}, errs.Errorf(errs.NotFound, "the entry has no statement %s", statementField)
	}
	m, ok := e.Fields[statementField].(map[string]any)
	s, sig, err := parseStatement(m)
	if !ok || err != nil {
		return Statement{}, errs.Errorf(errs.Untrusted, "the statement %s of the entry is malformed", statementField)
	}
	for _, k := range keys {
		public, ok := k.Public.(ed25519.PublicKey)
		if !ok || k.ID != s.KeyID {
			continue
		}
		if !ed25519.Verify(public, signed(e.Fields), sig) {
			return Statement{}, errs.Errorf(errs.Untrusted, "the signature of key %.12s does not hold", s.KeyID)
		}
		return s, nil
	}
	return Statement{}, errs.Errorf(errs.Untrusted, "signed by key %.12s, which is not known", s.KeyID)
}

func parseStatement(m map[string]any) (s Statement, sig []byte, err error) {
	text := func(name string) string { t, _ := m[name].(string); return t }
	number := func(name string) int64 {
		n, _ := m[name].(json.Number)
		i, nerr := strconv.ParseInt(string(n), 10, 64)
		if nerr != nil || i < 0 {
			err = errs.Errorf(errs.Untrusted, "%s is not a number", name)
		}
		return i
	}
	if number("v") != statementVersion {
		return s, nil, errs.Errorf(errs.Untrusted, "a statement of another version")
	}
	s = Statement{KeyID: text("keyid"), Key: text("key"), Size: number("size"), Seq: number("seq")}
	var problems [4]error
	s.SHA256, problems[0] = digest.Parse(text("sha256"))
	s.Created, problems[1] = time.Parse(time.RFC3339, text("created"))
	s.Expires, problems[2] = time.Parse(time.RFC3339, text("expires"))
	sig, problems[3] = base64.StdEncoding.Strict().DecodeString(text("sig"))
	for _, p := range problems {
		if p != nil {
			err = p
		}
	}
	return s, sig, err
}

// CheckStatement returns an error (errs.Untrusted) when s is about another key
// or has expired at the time now.
func CheckStatement(s Statement, key string, now time.Time) error {
	if s.Key != key {
		return errs.Errorf(errs.Untrusted, "signed for key %q, not for %q", s.Key, key)
	}
	if !now.Before(s.Expires) {
		return errs.Errorf(errs.Untrusted, "signed until %s", s.Expires.Format(time.RFC3339))
	}
	return nil
}

// StatementKeyID returns the id of the key that the statement of e claims to be signed by, or "".
func StatementKeyID(e Entry) string {
	m, _ := e.Fields[statementField].(map[string]any)
	id, _ := m["keyid"].(string)
	return id
}

// Created returns when e says that it was made; the zero time when it
// does not. Nothing is verified.
func Created(e Entry) time.Time {
	m, _ := e.Fields[statementField].(map[string]any)
	text, _ := m["created"].(string)
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t
}
