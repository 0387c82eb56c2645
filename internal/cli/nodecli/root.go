package nodecli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"overland/internal/agent"
	"overland/internal/agent/stage"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/printer"
	"overland/internal/trust"
)

// chooseRoot returns the fingerprint to pin, or "" when the node has pinned one already (a --root
// that differs from it is the agent's to refuse). It never takes the source's word: --root,
// provisioning, or a person who compared.
func chooseRoot(ctx context.Context, e env, c *call, src stage.Source) (string, error) {
	if c.root != "" {
		fp, err := trust.ParseFingerprint(c.root)
		if err != nil {
			return "", errs.E(errs.Invalid, fmt.Errorf("--root: %w", err))
		}
		return string(fp), nil
	}
	if s, err := agent.Peek(c.dir); err == nil && s.Root != "" {
		return "", nil
	}
	fp, err := provisioned(provisionedRoot)
	if err != nil || fp != "" {
		return string(fp), err
	}
	offered, err := stage.OfferedRoot(ctx, src)
	if err != nil {
		return "", err
	}
	if !e.terminal {
		return "", errs.Hint(errs.Errorf(errs.Untrusted, "no root of trust is pinned on this machine, and nobody is here to compare"),
			"get the fingerprint of %s from its maker (\"overland trust show\"), by another way than the volume itself, and add --root FINGERPRINT", src.Name())
	}
	printer.Fprintf(e.err, `
This machine trusts nobody yet. %s says that its root of trust is

    %s

Compare it with the one that its maker gave you by another way ("overland trust show" prints it).
Type yes when every character is the same: `, src.Name(), offered.Groups())
	answer, err := e.in.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(answer) != "yes" {
		return "", errs.Hint(errs.Errorf(errs.Untrusted, "the root of trust was not confirmed: nothing was installed"),
			"ask for the fingerprint and install again, or add --root FINGERPRINT")
	}
	return string(offered), nil
}

// provisioned returns the fingerprint in file path, "" when there is no such file.
func provisioned(path string) (trust.Fingerprint, error) {
	const longest = 4 << 10
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("provisioned root: %w", err)
	}
	defer f.Close()
	b, err := fsx.Read(f, path, longest)
	if err != nil && !errors.Is(err, fsx.ErrTooLong) {
		return "", fmt.Errorf("provisioned root: %w", err)
	}
	fp := trust.Fingerprint("")
	if err == nil {
		fp, err = trust.ParseFingerprint(strings.TrimSpace(string(b)))
	}
	if err != nil {
		return "", errs.Hint(errs.E(errs.Untrusted, fmt.Errorf("provisioned root %s: %w", path, err)), "mend or remove the file")
	}
	return fp, nil
}
