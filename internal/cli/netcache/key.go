package netcache

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache"
)

// keyOptions are the settings of netcache generate-signature-key.
type keyOptions struct {
	file    string // a configuration, or with name the private key
	name    string
	cert    string // file for the public half; "" = it is only printed
	ed25519 bool
}

func generateKey(t *term.Term, run verb.Run[keyOptions]) *cobra.Command {
	var o keyOptions
	c := &cobra.Command{
		Use:   "generate-signature-key CONFIG | KEYFILE NAME",
		Short: "Make a key that signs entries of the network cache",
		Long: "Makes an RSA key and its certificate, at signature-private-key-file and signature-certificate-file of CONFIG or at\n" +
			"KEYFILE and --cert-file, and prints the certificate: others add it to their signature-certificate-list. With\n" +
			"--ed25519 it makes the key of Overland's own statements, at overland-private-key-file or KEYFILE, and prints the\n" +
			"public key for overland-key-list. An existing file is never overwritten.",
		Example: "overland netcache generate-signature-key new.key COMP-1 --cert-file new.cert\n" +
			"overland netcache generate-signature-key --ed25519 ed25519.key COMP-1",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			o.file, o.name = args[0], verb.First(args[1:], "")
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringVar(&o.cert, "cert-file", "", "file for the certificate or the public key, besides printing it")
	c.Flags().BoolVar(&o.ed25519, "ed25519", false, "a key for Overland's own statements")
	return c
}

func runGenerateKey(_ context.Context, t *term.Term, o keyOptions) error {
	key, name, cert := o.file, o.name, o.cert
	if name == "" {
		config, err := ReadConfig(o.file)
		if err != nil {
			return err
		}
		option := "signature-private-key-file"
		key, cert = config.SignaturePrivateKeyFile, config.SignatureCertificateFile
		if o.ed25519 {
			option, key, cert = "overland-private-key-file", config.OverlandPrivateKeyFile, ""
		}
		if key == "" {
			return errs.Hint(verb.Usage("%s has no %s", o.file, option), "set it in the section [networkcache]")
		}
		if name, err = os.Hostname(); err != nil {
			return err
		}
	}
	var public []byte
	var err error
	if o.ed25519 {
		public, err = netcache.GenerateEd25519(fsx.FS{}, key, cert)
	} else {
		public, err = netcache.Generate(fsx.FS{}, key, cert, name, clock.Clock.Or(t.Clock)())
	}
	if err != nil {
		return err
	}
	t.Print(string(public))
	t.Note("the private key is in %s: it never leaves this machine", key)
	return nil
}
