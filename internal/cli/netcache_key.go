package cli

import (
	"os"

	"github.com/spf13/cobra"

	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache"
)

func (a *app) netcacheKey() *cobra.Command {
	var cert string
	var ed25519 bool
	c := &cobra.Command{
		Use:   "generate-signature-key CONFIG | KEYFILE NAME",
		Short: "Make a key that signs entries of the network cache",
		Long: "Makes an RSA key and its certificate, at signature-private-key-file and signature-certificate-file of CONFIG or at\n" +
			"KEYFILE and --cert-file, and prints the certificate: others add it to their signature-certificate-list. With\n" +
			"--ed25519 it makes the key of Overland's own statements, at overland-private-key-file or KEYFILE, and prints the\n" +
			"public key for overland-key-list. A file that is there is never overwritten.",
		Example: "overland netcache generate-signature-key new.key COMP-1 --cert-file new.cert\n" +
			"overland netcache generate-signature-key --ed25519 ed25519.key COMP-1",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error { return a.runNetcacheKey(args, cert, ed25519) },
	}
	c.Flags().StringVar(&cert, "cert-file", "", "file for the certificate or the public key, besides printing it")
	c.Flags().BoolVar(&ed25519, "ed25519", false, "a key for Overland's own statements")
	return c
}

func (a *app) runNetcacheKey(args []string, cert string, ed25519 bool) error {
	var name string
	key := args[0]
	if len(args) == 1 {
		config, err := readNetcacheConfig(args[0])
		if err != nil {
			return err
		}
		option := "signature-private-key-file"
		key, cert = config.SignaturePrivateKeyFile, config.SignatureCertificateFile
		if ed25519 {
			option, key, cert = "overland-private-key-file", config.OverlandPrivateKeyFile, ""
		}
		if key == "" {
			return errs.Hint(usage("%s has no %s", args[0], option), "set it in the section [networkcache]")
		}
		if name, err = os.Hostname(); err != nil {
			return err
		}
	} else {
		name = args[1]
	}
	var public []byte
	var err error
	if ed25519 {
		public, err = netcache.GenerateEd25519(fsx.FS{}, key, cert)
	} else {
		public, err = netcache.Generate(fsx.FS{}, key, cert, name, clock.Clock.Or(a.Clock)())
	}
	if err != nil {
		return err
	}
	a.printf("%s", public)
	a.note("the private key is in %s: it never leaves this machine", key)
	return nil
}
