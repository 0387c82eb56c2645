package jsonedit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

const valueLimit = 8 << 10 // bytes of a string that is replaced, as it is written

// rewriter copies a document and replaces strings on the way: it need not hold the document.
type rewriter struct {
	in  *bufio.Reader
	out bytes.Buffer
	key string // with its quotes
	to  func(string) string
	err error
}

// Values returns r, a JSON document, with every string s that is the value of a key called key replaced by to(s).
// Nothing else changes by a byte, also in what is no JSON. key has no character that JSON escapes; a key that is written
// with escapes, and a value of more than 8 KiB, are left alone.
func Values(r io.Reader, key string, to func(string) string) io.Reader {
	return &rewriter{in: bufio.NewReaderSize(r, 64<<10), key: `"` + key + `"`, to: to}
}

func (w *rewriter) Read(p []byte) (int, error) {
	for w.out.Len() == 0 && w.err == nil {
		w.err = w.step()
	}
	if w.out.Len() > 0 {
		return w.out.Read(p)
	}
	return 0, w.err
}

// step copies what is before the next string and the string, and when that is the key, the value too.
func (w *rewriter) step() error {
	more, err := w.plain()
	if !more || err != nil {
		return err
	}
	s, whole, err := w.text(len(w.key))
	if err != nil || !whole || s != w.key {
		return err
	}
	colon, err := w.space(':')
	if !colon || err != nil {
		return err
	}
	quote, err := w.space('"')
	if !quote || err != nil {
		return err
	}
	at := w.out.Len() - 1 // of the quote
	s, whole, err = w.text(valueLimit)
	if err != nil || !whole {
		return err
	}
	return w.replace(at, s)
}

// replace puts the new address in place of the string s, which was copied to at. What is no JSON string stays.
func (w *rewriter) replace(at int, s string) error {
	var address string
	valid := json.Unmarshal([]byte(s), &address) == nil
	if with := w.to(address); valid && with != address {
		b, err := json.Marshal(with)
		if err != nil {
			return err
		}
		w.out.Truncate(at)
		w.out.Write(b)
	}
	return nil
}

// plain copies up to the next quote, which it copies too and reports. It returns after each full buffer.
func (w *rewriter) plain() (quote bool, _ error) {
	b, err := w.in.ReadSlice('"')
	w.out.Write(b)
	if errors.Is(err, bufio.ErrBufferFull) {
		return false, nil
	}
	return err == nil, err
}

// text copies the rest of a string whose opening quote was copied. It returns the string with its quotes when it has
// at most limit bytes; whole is false for a longer one.
func (w *rewriter) text(limit int) (_ string, whole bool, _ error) {
	from, slashes := w.out.Len()-1, 0
	length := 1
	for {
		b, err := w.in.ReadSlice('"')
		length += len(b)
		w.out.Write(b)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return "", false, err
		}
		body := b
		if err == nil {
			body = b[:len(b)-1]
		}
		// An odd number of backslashes before a quote, counted over the ends of slices, makes it part of the string.
		trimmed := bytes.TrimRight(body, `\`)
		if n := len(body) - len(trimmed); n == len(body) {
			slashes += n
		} else {
			slashes = n
		}
		if err != nil {
			continue
		}
		if slashes%2 == 0 {
			if length > limit {
				return "", false, nil
			}
			return string(w.out.Bytes()[from:]), true, nil
		}
		slashes = 0
	}
}

// space copies white space and then c, when that comes next; what else comes is left for the next step.
func (w *rewriter) space(c byte) (bool, error) {
	for n := 0; ; n++ {
		b, err := w.in.ReadByte()
		if err != nil {
			return false, err
		}
		if b == c || n < valueLimit && strings.IndexByte(" \t\r\n", b) >= 0 {
			w.out.WriteByte(b)
			if b == c {
				return true, nil
			}
			continue
		}
		return false, w.in.UnreadByte()
	}
}
