package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// stageSuffix is added to the name of the folder that Extract fills before it gets its name.
const stageSuffix = ".extracting"

// Extract unpacks the volume into the new folder dir: an OCI image layout with trust/ and
// overland.json beside it. Everything is verified in the same pass that writes it, into a folder
// beside dir that is renamed at the end. When anything is wrong (errs.Untrusted), nothing is left.
// It is errs.Conflict when dir exists and is not empty.
func (v *Volume) Extract(ctx context.Context, dir string, f fsx.FS) error {
	if err := v.extract(ctx, filepath.Clean(dir), f); err != nil {
		return fmt.Errorf("extract volume %s to %s: %w", v.Name(), dir, fsx.Full(err))
	}
	return nil
}

func (v *Volume) extract(ctx context.Context, dir string, f fsx.FS) (err error) {
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return errs.Hint(errs.Errorf(errs.Conflict, "the folder is not empty"), "name a new folder")
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := f.Mkdir(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := fsx.Room(filepath.Dir(dir), v.contentSize(), 0); err != nil {
		return err
	}
	stage := dir + stageSuffix
	if err := f.RemoveAll(stage); err != nil { // left by an Extract that was killed
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(stage))
		}
	}()
	folders := map[string]bool{}
	open := func(m *member) (io.WriteCloser, error) {
		path := filepath.Join(stage, filepath.FromSlash(m.name)) // checkName accepted the names when v was opened
		if folder := filepath.Dir(path); !folders[folder] {
			folders[folder] = true
			if err := f.Mkdir(folder, 0o755); err != nil {
				return nil, err
			}
		}
		file, err := f.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, err
		}
		return durable{file}, nil
	}
	if err := v.walk(ctx, &walker{v: v}, open); err != nil {
		return err
	}
	for folder := range folders {
		if err := f.SyncDir(folder); err != nil {
			return err
		}
	}
	if err := f.Remove(dir); err != nil { // empty, as seen above
		return err
	}
	if err := f.Rename(stage, dir); err != nil {
		return err
	}
	return f.SyncDir(filepath.Dir(dir))
}

// durable makes a file's bytes survive a power cut when it is closed.
type durable struct{ *fsx.File }

func (d durable) Close() error { return errors.Join(d.Sync(), d.File.Close()) }
