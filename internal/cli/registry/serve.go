package registry

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"overland/internal/admission"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/server/registry"
	"overland/internal/volume"
)

// serveOptions are the settings of registry serve.
type serveOptions struct {
	file   string
	listen string
	root   string // "" = signatures are not checked
}

func serve(t *term.Term, run verb.Run[serveOptions]) *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve FILE",
		Short: "Let docker and others pull from a volume",
		Long: "Serves the images of the releases in a volume to docker, podman, skopeo and their like, over plain HTTP, until it is\n" +
			"interrupted. Nothing is unpacked and nothing can be pushed. Each image is called APP/IMAGE:VERSION, and with\n" +
			"VERSION-arm32v6 and the like for one platform; the names are printed. With --root nothing is served but what is\n" +
			"signed from that root of trust on.",
		Example: "overland registry serve live.volume --root FINGERPRINT --listen 127.0.0.1:0",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.file = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.listen, "listen", "127.0.0.1:5000", "address and port")
	c.Flags().StringVar(&o.root, "root", "", "fingerprint of the root of trust from which the releases must be signed")
	return c
}

func runServe(ctx context.Context, t *term.Term, o serveOptions) error {
	v, err := volume.Open(o.file)
	if err != nil {
		return err
	}
	defer v.Close()
	releases, err := carried(ctx, t, v, o.root)
	if err != nil {
		return err
	}
	images, err := registry.NewCarried(ctx, v, releases)
	if err != nil {
		return err
	}
	if len(images.Images()) == 0 {
		return errs.Errorf(errs.NotFound, "%s holds no image", o.file)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return errs.Hint(err, "another program may have that port: choose one with --listen")
	}
	for _, name := range images.Images() {
		t.Printf("%s/%s\n", l.Addr(), name)
	}
	const header, grace = 16 << 10, 2 * time.Second
	s := admission.Server(images, header)
	s.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	stop := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if s.Shutdown(end) != nil {
			_ = s.Close()
		}
	})
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// carried returns the releases in v: those that are signed from root on, or, without one, all that are there.
func carried(ctx context.Context, t *term.Term, v *volume.Volume, root string) (list []*release.Release, err error) {
	if root != "" {
		from, err := verb.ParseRoot(root)
		if err != nil {
			return nil, err
		}
		found, err := inspect.Verify(ctx, v, from, time.Time{})
		if err != nil {
			return nil, err
		}
		return found.Releases, nil
	}
	t.Warn("nothing says who made what is served: --root FINGERPRINT checks that")
	tags, err := v.Tags()
	if err != nil {
		return nil, err
	}
	for _, tag := range tags {
		r, err := release.Read(ctx, v, tag.Digest)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}
