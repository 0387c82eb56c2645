package trust

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"overland/internal/cli/sitedir"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/fsx"
	"overland/internal/operator"
	"overland/internal/operator/approval"
)

// payloadOptions are the settings of trust payload.
type payloadOptions struct {
	role   string
	out    string // file; "" = stdout
	expect string // digest of the payload; "" = whatever waits
	json   bool
}

func payload(t *term.Term, run verb.Run[payloadOptions]) *cobra.Command {
	var o payloadOptions
	c := &cobra.Command{
		Use:   "payload ROLE",
		Short: "Write what a signer elsewhere signs",
		Long: "Shows the change of ROLE that waits, as overland trust sign does, and writes the bytes that are signed, to be\n" +
			"carried to a key that is elsewhere: on a machine without a network, in a token. Their SHA-256 is the digest that\n" +
			"is shown, so sha256sum there says whether they are the same. An ed25519 signature over them comes back with\n" +
			"overland trust add-signature; openssl pkeyutl -sign -rawin makes one. Changes nothing.",
		Example: "overland trust payload channel/live --out payload.json\noverland trust payload channel/live --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.role = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVarP(&o.out, "out", "o", "", "the file to write (default: stdout, and the change is shown on stderr)")
	c.Flags().StringVar(&o.expect, "expect", "", "write only the payload that has this digest")
	verb.JSONFlag(c, &o.json)
	return c
}

// payloadResult is the result of trust payload --json.
type payloadResult struct {
	approval.Change
	Payload []byte `json:"payload"`
}

func runPayload(ctx context.Context, t *term.Term, o payloadOptions) error {
	c, err := sitedir.Call(t, func(p *operator.Operator) (approval.Change, error) { return change(ctx, p, o.role, o.expect, nil) })
	if err != nil {
		return err
	}
	if o.out != "" {
		if err := (fsx.FS{}).WriteFile(o.out, c.Payload, 0o644); err != nil {
			return fmt.Errorf("payload of %s: %w", o.role, err)
		}
	}
	if o.json {
		return t.JSON(payloadResult{c, c.Payload})
	}
	if o.out == "" {
		printChange(t.Aside(), c)
		return t.Raw(c.Payload)
	}
	printChange(t, c)
	t.Note("%s: to be signed with ed25519; then overland trust add-signature %s --key PUBLICKEY FILE", o.out, o.role)
	return nil
}
