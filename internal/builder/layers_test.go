package builder_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/builder"
	"overland/internal/digest"
	"overland/internal/image"
	"overland/internal/store/mem"
)

// Of images what their layers hold is compared first, then how that is compressed, then what their configs say.
func TestWhereImagesBeginToDiffer(t *testing.T) {
	var s mem.Store
	layer := func(text string) image.Made {
		made, err := image.PutLayer(t.Context(), &s, time.Unix(0, 0), func(l *image.Layer) error {
			if err := l.Add(image.Entry{Name: "etc/same"}, nil); err != nil {
				return err
			}
			return l.Add(image.Entry{Name: "etc/motd", Size: int64(len(text))}, strings.NewReader(text))
		})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	of := func(run image.Run, layers ...image.Made) builder.Side {
		i := image.Image{Platform: "linux/amd64", Created: time.Unix(0, 0), Run: run}
		for _, l := range layers {
			i.Layers = append(i.Layers, image.Step{Made: l, By: "overland: base root"})
		}
		desc, err := image.Put(t.Context(), &s, i)
		if err != nil {
			t.Fatal(err)
		}
		return builder.Side{In: &s, Digest: desc.Digest, Image: true}
	}
	base, other := layer("at noon"), layer("at one")
	for what, test := range map[string]struct {
		was, is builder.Side
		want    string
	}{
		"content": {
			of(image.Run{}, base, base), of(image.Run{}, base, other),
			`in layer 2 of 2 (overland: base root): the first file that differs is "etc/motd", from byte 3 on: "at noon", now "at one"`,
		},
		"compression": {of(image.Run{}, base), of(image.Run{}, again(t, &s, base)), "in layer 1 of 1 (overland: base root) is the same content, compressed into other bytes: " + string(base.Digest)},
		"config":      {of(image.Run{User: "1"}, base), of(image.Run{User: "2"}, base), `all its layers are the same, but in their configs they differ from byte`},
		"number":      {of(image.Run{}, base), of(image.Run{}, base, base), "it had 1 layers, and has 2 now"},
		"no image":    {of(image.Run{}, base), builder.Side{In: &s, Digest: base.Digest, Image: true}, "they differ from byte 0 on"},
		"gone":        {builder.Side{In: &s, Digest: digest.Of([]byte("gone"))}, of(image.Run{}, base), "is not there any more"},
	} {
		if got := builder.Difference(t.Context(), test.was, test.is); !strings.Contains(got, test.want) {
			t.Errorf("%s: %s\nwant %s", what, got, test.want)
		}
	}
}

// again returns l as another encoder compresses it.
func again(t *testing.T, s *mem.Store, l image.Made) image.Made {
	t.Helper()
	b, err := s.Open(t.Context(), l.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	from, err := gzip.NewReader(b)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.NoCompression)
	if _, err := io.Copy(w, from); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	d, n, err := s.Put(context.Background(), &packed, "", -1)
	if err != nil {
		t.Fatal(err)
	}
	return image.Made{Descriptor: ocispec.Descriptor{MediaType: l.MediaType, Digest: d, Size: n}, DiffID: l.DiffID}
}
