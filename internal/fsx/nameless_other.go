//go:build !linux

package fsx

import (
	"errors"
	"io/fs"
	"os"
)

func nameless(string, fs.FileMode) (*os.File, error) { return nil, errors.ErrUnsupported }

func name(*os.File, string) error { return errors.ErrUnsupported }

func reopen(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }
