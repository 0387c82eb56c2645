package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache"
)

const (
	listLimit   = netcache.ListLimit / 4 // bytes of live records of one key: each reader of the list has them in memory
	wasteLimit  = 64 << 10               // bytes of records that are there twice before the file is written anew
	sumLength   = 9                      // "HHHHHHHH " before a record
	crcBase     = 16
	recordLimit = 2 * netcache.EntryLimit
)

// Record is one entry as the server keeps it.
type Record struct {
	Key       string    `json:"key"`
	Metadata  string    `json:"metadata"`
	Signature string    `json:"signature"`
	Time      time.Time `json:"time"`
	Account   string    `json:"account,omitempty"`
	Signer    string    `json:"signer,omitempty"`   // id of the known key that signed it, when it came
	Upstream  string    `json:"upstream,omitempty"` // the network cache that it came from; "" = it was put here
}

// blob returns the name of the blob that r is about.
func (r Record) blob() string {
	e, err := netcache.NewEntry(r.Metadata, r.Signature)
	if err != nil {
		return ""
	}
	return e.Name()
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *Shelf) listPath(key string) string {
	sum := sha256.Sum256([]byte(key))
	h := hex.EncodeToString(sum[:])
	return filepath.Join(s.dir, "dir", h[:shardDigits], h)
}

// List returns the records of key, newest first, each once. A key that
// nobody ever put is errs.NotFound.
func (s *Shelf) List(key string) ([]Record, error) {
	if err := netcache.CheckKey(key); err != nil {
		return nil, err
	}
	list, _, err := s.read(key)
	return list, err
}

// read returns the records of key, newest first, and the bytes of its file.
func (s *Shelf) read(key string) ([]Record, []byte, error) {
	b, err := os.ReadFile(s.listPath(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errs.Errorf(errs.NotFound, "no entries for key %q", key)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("entries of key %q: %w", key, err)
	}
	return records(b, key), b, nil
}

// records parses a file of records: the last one of equal ones counts, the newest is
// first. A line that is not what its checksum says was being written when the power
// failed, or was damaged: it is skipped.
func records(b []byte, key string) []Record {
	var list []Record
	seen := map[[2]string]bool{}
	lines := bytes.SplitAfter(b, []byte("\n"))
	for _, line := range slices.Backward(lines) {
		r, ok := parseRecord(line)
		if !ok || r.Key != key || seen[r.id()] {
			continue
		}
		seen[r.id()] = true
		list = append(list, r)
	}
	return list
}

func parseRecord(line []byte) (r Record, ok bool) {
	text, whole := bytes.CutSuffix(line, []byte("\n"))
	if !whole || len(text) < sumLength || len(text) > recordLimit {
		return r, false
	}
	sum, err := strconv.ParseUint(string(text[:sumLength-1]), crcBase, 32)
	if err != nil || crc32.Checksum(text[sumLength:], castagnoli) != uint32(sum) || json.Unmarshal(text[sumLength:], &r) != nil {
		return r, false
	}
	// What is served was valid when it came; the disk may have other ideas.
	_, err = netcache.NewEntry(r.Metadata, r.Signature)
	return r, err == nil
}

func (r Record) line() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(text, castagnoli), text), nil
}

// Add appends r to the list of its key; it returns when r will survive a power cut. An equal entry
// that is there moves to the front. The error is errs.Conflict when the list is full.
func (s *Shelf) Add(ctx context.Context, r Record) error {
	if err := s.add(ctx, r); err != nil {
		return fmt.Errorf("add an entry to key %q: %w", r.Key, fsx.Full(err))
	}
	return nil
}

func (s *Shelf) add(ctx context.Context, r Record) error {
	if err := netcache.CheckKey(r.Key); err != nil {
		return err
	}
	line, err := r.line()
	if err != nil {
		return err
	}
	path := s.listPath(r.Key)
	if err := s.fs.Mkdir(filepath.Dir(path), dirMode); err != nil {
		return err
	}
	lock, err := fsx.WaitLock(filepath.Join(filepath.Dir(path), "lock"))
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	list, old, err := s.read(r.Key)
	if errs.KindOf(err) == errs.NotFound {
		return s.fs.WriteFile(path, line, fileMode)
	}
	if err != nil {
		return err
	}
	if len(list) > 0 && r.same(list[0]) && list[0].Upstream == r.Upstream {
		return nil
	}
	list = append([]Record{r}, slices.DeleteFunc(list, r.same)...)
	whole, err := lines(list)
	if err != nil {
		return err
	}
	if len(whole) > listLimit {
		return errs.Errorf(errs.Conflict, "the list is full: %d bytes", listLimit)
	}
	if len(old)+len(line) > len(whole)+wasteLimit {
		return s.fs.WriteFile(path, whole, fileMode)
	}
	return s.append(path, old, line)
}

// lines returns a file of list, whose newest record is first.
func lines(list []Record) (b []byte, err error) {
	for _, r := range slices.Backward(list) {
		line, err := r.line()
		if err != nil {
			return nil, err
		}
		b = append(b, line...)
	}
	return b, nil
}

// append adds line to the file at path, which holds old: a torn last line is cut off
// first, and when the new one cannot be made durable it is taken back, so that what was
// refused does not appear later.
func (s *Shelf) append(path string, old, line []byte) error {
	f, err := s.fs.OpenFile(path, os.O_RDWR, fileMode)
	if err != nil {
		return err
	}
	defer f.Close()
	end := int64(bytes.LastIndexByte(old, '\n') + 1)
	if end != int64(len(old)) {
		if err := f.Truncate(end); err != nil {
			return err
		}
	}
	_, err = f.WriteAt(line, end)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Truncate(end))
	}
	return nil
}
