package server

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/store/mem"
)

// memory is a depot of which only uploads matter.
type memory struct{ *mem.Store }

func (memory) Claim(string) error        { return nil }
func (memory) Touch(digest.Digest) error { return nil }

// leave begins an upload of writer that nobody goes on with, of so many bytes.
func leave(t *testing.T, s *Shelf, writer string, n, size int) (id string) {
	t.Helper()
	id = uploadsOf(writer) + fmt.Sprintf("%d-0", n)
	in, err := s.depot.Begin(t.Context(), id, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	return id
}

func left(t *testing.T, s *Shelf) (ids []string) {
	t.Helper()
	if err := s.depot.Pending(t.Context(), uploadPrefix, func(id string, _ int64, _ time.Time) error {
		ids = append(ids, id)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return ids
}

// One writer's uploads hold at most two of the largest blobs: its oldest go for a new one, also where
// they are few.
func TestS21BytesOfOneWriterAreBounded(t *testing.T) {
	s := &Shelf{depot: memory{new(mem.Store)}}
	var own []string
	for n := range 4 {
		own = append(own, leave(t, s, "client a", n, 500))
	}
	theirs := leave(t, s, "client b", 0, 5000)
	const limit = 1000
	if err := s.admit(t.Context(), "client a", "new", 600, limit); err != nil {
		t.Fatal(err)
	}
	if got, want := left(t, s), append(own[2:], theirs); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("left: %v, want %v", got, want)
	}
	// What one goes on with is not a new one.
	if err := s.admit(t.Context(), "client a", own[3], 2000, limit); err != nil || len(left(t, s)) != 3 {
		t.Errorf("resumed: %v, %v", err, left(t, s))
	}
}

// When all writers together have too many, whoever has the most makes room, not whoever comes or the
// one whose upload is the oldest.
func TestS21UploadsOfAllAreBounded(t *testing.T) {
	s := &Shelf{depot: memory{new(mem.Store)}}
	oldest := leave(t, s, "client old", 0, 1)
	var crowd []string
	for n := range ownUploads {
		crowd = append(crowd, leave(t, s, "client crowd", n, 1))
	}
	for n := range allUploads - ownUploads - 1 {
		leave(t, s, fmt.Sprintf("client %d", n/2), n, 1)
	}
	if err := s.admit(t.Context(), "client new", "new", 1, MaxBlob); err != nil {
		t.Fatal(err)
	}
	got := left(t, s)
	if len(got) != allUploads-1 || slices.Contains(got, crowd[0]) || !slices.Contains(got, oldest) {
		t.Errorf("%d uploads are left; the oldest of the crowd: %v, the oldest of all: %v", len(got), slices.Contains(got, crowd[0]), slices.Contains(got, oldest))
	}
}

// A writer that has made room with an upload of its own takes none of another writer's for the same.
func TestS21RoomIsMadeOnce(t *testing.T) {
	s := &Shelf{depot: memory{new(mem.Store)}}
	own := leave(t, s, "client a", 0, 1)
	for n := range ownUploads - 1 {
		leave(t, s, "client a", n+1, 1)
	}
	for n := range ownUploads + 1 {
		leave(t, s, "client crowd", n, 1)
	}
	for n := range allUploads - 2*ownUploads - 1 {
		leave(t, s, fmt.Sprintf("client %d", n/2), n, 1)
	}
	if err := s.admit(t.Context(), "client a", "new", 1, MaxBlob); err != nil {
		t.Fatal(err)
	}
	if got := left(t, s); len(got) != allUploads-1 || slices.Contains(got, own) {
		t.Errorf("%d uploads are left; the writer's own oldest: %v", len(got), slices.Contains(got, own))
	}
}

// A writer whose uploads are all being sent has to wait: none of them goes for the next.
func TestS21UploadsThatAreSentStay(t *testing.T) {
	s := &Shelf{depot: memory{new(mem.Store)}}
	for n := range ownUploads {
		in, err := s.depot.Begin(t.Context(), uploadsOf("client a")+fmt.Sprintf("%d-0", n), -1)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
	}
	err := s.admit(t.Context(), "client a", "new", 1, MaxBlob)
	if errs.KindOf(err) != errs.Unavailable || httpx.Status(err) != http.StatusTooManyRequests || len(left(t, s)) != ownUploads {
		t.Errorf("%v, %d uploads", err, len(left(t, s)))
	}
	if err := s.admit(t.Context(), "client b", "new", 1, MaxBlob); err != nil {
		t.Errorf("another writer: %v", err)
	}
}

// One writer sends so many blobs at once, by whichever way, and no more; others are not counted.
func TestS21WritesOfOneWriterAtOnceAreBounded(t *testing.T) {
	s := New(NewShelf(t), Options{})
	defer s.Close()
	one, two := By{Client: "10.0.0.1"}, By{Client: "10.0.0.2"}
	var ends []func()
	for range ownWrites {
		end, err := s.writers.enter(one.writer(), ownWrites)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	put := func(by By) error {
		_, err := s.PutBlob(t.Context(), by, bytes.NewReader([]byte("x")), "", 1)
		_, perr := s.PutPart(t.Context(), by, nil, NameOf([]byte("y")), Part{From: -1, Size: 1, Sum: digest.Of([]byte("y"))})
		if (err == nil) != (perr == nil) {
			t.Errorf("a blob: %v; a part: %v", err, perr)
		}
		return errors.Join(err, perr)
	}
	if err := put(one); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("one more: %v", err)
	}
	if err := put(two); err != nil {
		t.Errorf("another writer: %v", err)
	}
	ends[0]()
	if err := put(one); err != nil {
		t.Errorf("after one ended: %v", err)
	}
	for _, end := range ends[1:] {
		end()
	}
	if len(s.writers.by) != 0 {
		t.Errorf("writers that have gone are remembered: %v", s.writers.by)
	}
}

// An upload whose client has come back is taken from the connection that is silent, whatever that reads
// later; from one on which anything comes it is not.
func TestS21ASilentConnectionLosesItsUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h holders
		silent := 0
		dead := h.hold("dead", func() { silent++ })
		r := dead.over(bytes.NewReader([]byte("late")))
		freed := make(chan bool)
		go func() { freed <- h.free(t.Context(), "dead") }()
		synctest.Wait()
		time.Sleep(quiet + quiet/2)
		if n, err := r.Read(make([]byte, 4)); n != 0 || err == nil {
			t.Errorf("%d bytes, %v after it was stopped", n, err)
		}
		if h.drop(dead); !<-freed || silent != 1 {
			t.Errorf("it is not free, or was stopped %d times", silent)
		}
		alive := h.hold("alive", func() { silent++ })
		r = alive.over(bytes.NewReader([]byte("more and more")))
		go func() { freed <- h.free(t.Context(), "alive") }()
		synctest.Wait()
		if n, err := r.Read(make([]byte, 4)); n != 4 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		if <-freed || silent != 1 {
			t.Error("one that is being sent was stopped")
		}
		if n, err := r.Read(make([]byte, 4)); n != 4 || err != nil {
			t.Errorf("and more: %d bytes, %v", n, err)
		}
		h.drop(alive)
	})
}

// An account is one writer, wherever it writes from; and nobody gets an account's uploads by an address.
func TestS21WhoAWriterIs(t *testing.T) {
	account := Account{Identity: "10.0.0.1"}
	a, b := By{Account: account, Client: "10.0.0.1"}, By{Account: account, Client: "10.0.0.2"}
	if a.writer() != b.writer() {
		t.Errorf("one account is two writers: %q, %q", a.writer(), b.writer())
	}
	if open := (By{Client: "10.0.0.1"}); open.writer() == a.writer() || open.writer() == (By{Client: "10.0.0.2"}).writer() {
		t.Errorf("two are one writer: %q", open.writer())
	}
}
