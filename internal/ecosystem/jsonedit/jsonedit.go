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

	long    bool // within a string that is too long to be held
	slashes int  // backslashes at the end of what was copied of a string
}

// Values returns r, a JSON document, with every string s that is the value of a key called key
// replaced by to(s). No other byte changes, even in what is not JSON. key has no character that
// JSON escapes; a key that is written with escapes, and a value of more than 8 KiB, are left alone.
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

// step copies what is before the next string and the string, and when
// that is the key, the value too.
func (w *rewriter) step() error {
	if w.long {
		return w.piece()
	}
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

// replace puts the new address in place of the string s, which was copied to at.
// What is not a JSON string stays.
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

// plain copies up to the next quote, which it copies too and reports. It
// returns after each full buffer.
func (w *rewriter) plain() (quote bool, _ error) {
	b, err := w.in.ReadSlice('"')
	w.out.Write(b)
	if errors.Is(err, bufio.ErrBufferFull) {
		return false, nil
	}
	return err == nil, err
}

// text copies the rest of a string whose opening quote was copied. It returns the string with
// its quotes when it has at most limit bytes; whole is false for a longer one, of which the rest
// may be left for the next steps.
func (w *rewriter) text(limit int) (_ string, whole bool, _ error) {
	from := w.out.Len() - 1
	w.long, w.slashes = true, 0
	for w.long {
		if err := w.piece(); err != nil || w.out.Len()-from > limit {
			return "", false, err
		}
	}
	return string(w.out.Bytes()[from:]), true, nil
}

// piece copies the next piece of a string, and notes whether that was its end.
func (w *rewriter) piece() error {
	b, err := w.in.ReadSlice('"')
	w.out.Write(b)
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return err
	}
	body := b
	if err == nil {
		body = b[:len(b)-1]
	}
	// An odd number of backslashes before a quote, counted over the ends of
	// pieces, makes it part of the string.
	n := len(body) - len(bytes.TrimRight(body, `\`))
	if n == len(body) {
		n += w.slashes
	}
	w.slashes = n
	if err == nil {
		w.long = n%2 == 1
		w.slashes = 0
	}
	return nil
}

// space copies white space and then c, when that comes next; what else
// comes is left for the next step.
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
