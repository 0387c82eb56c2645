package registry

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"overland/internal/auth"
	"overland/internal/cli/term"
	"overland/internal/cli/verb"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/site"
)

// addOptions are the settings of registry add-account.
type addOptions struct {
	name               string
	pull, push, remove []string // patterns of repositories
	expires            string   // a date; "" = never
	certificate        string   // file; "" = a token is made
	json               bool
}

func addAccount(t *term.Term, run verb.Run[addOptions]) *cobra.Command {
	var o addOptions
	c := &cobra.Command{
		Use:   "add-account NAME",
		Short: "Let somebody push to the registry",
		Long: "Adds an account and prints its token, which is told only now; a client logs in with NAME and the token. With\n" +
			"--certificate the account is known by a TLS client certificate instead. PATTERN is the name of a repository in which\n" +
			"* is any one part and ** at the end any number: staging/wallet, 'staging/*', 'staging/**'. A running site sees it at once.",
		Example: "overland registry add-account ci --push staging/wallet\n" +
			"overland registry add-account ops --push live/wallet --delete staging/wallet --expires 2099-12-31",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.name = args[0]
			return run(c.Context(), t, o)
		},
	}
	c.Flags().StringArrayVar(&o.push, "push", nil, "PATTERN of repositories that it may push to, and pull from; may be repeated")
	c.Flags().StringArrayVar(&o.pull, "pull", nil, "PATTERN of repositories that it may pull from where not everybody may; may be repeated")
	c.Flags().StringArrayVar(&o.remove, "delete", nil, "PATTERN of repositories that it may delete from, where site.yaml allows deleting; may be repeated")
	c.Flags().StringVar(&o.expires, "expires", "", "the last day on which it holds: 2027-06-30 (default: for good)")
	c.Flags().StringVar(&o.certificate, "certificate", "", "file with the client's certificate in PEM")
	verb.JSONFlag(c, &o.json)
	return c
}

// added is what registry add-account prints as JSON.
type added struct {
	Name  string `json:"name"`
	Token string `json:"token,omitempty"`
}

func runAddAccount(ctx context.Context, t *term.Term, o addOptions) error {
	var grants []auth.Grant
	for _, g := range []struct {
		action   auth.Action
		patterns []string
	}{{auth.Pull, o.pull}, {auth.Push, o.push}, {auth.Delete, o.remove}} {
		for _, p := range g.patterns {
			grants = append(grants, auth.Grant{Action: g.action, Pattern: p})
		}
	}
	if len(grants) == 0 {
		return errs.Hint(verb.Usage("account %s may do nothing", o.name), "say what it may: --push 'staging/**'")
	}
	expires, err := day(o.expires)
	if err != nil {
		return err
	}
	result := added{Name: o.name}
	err = with(ctx, t, func(a *site.Accounts) error {
		if o.certificate != "" {
			c, err := readCertificate(o.certificate)
			if err != nil {
				return err
			}
			return a.MakeKnownBy(ctx, o.name, c, grants, expires)
		}
		var err error
		result.Token, err = a.Make(ctx, o.name, grants, expires)
		return err
	})
	switch {
	case err != nil:
		return err
	case o.json:
		return t.JSON(result)
	case result.Token != "":
		t.Printf("%s\n", result.Token)
		t.Note("the token is told only now: docker login -u %s HOST:PORT, and paste it", o.name)
	}
	return nil
}

// day returns the end of the day s in this machine's time; the zero time for "".
func day(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	d, err := time.ParseInLocation(time.DateOnly, s, time.Local)
	if err != nil {
		return time.Time{}, errs.Hint(verb.Usage("expires %q", s), "write it like 2027-06-30")
	}
	return d.AddDate(0, 0, 1), nil
}

func readCertificate(path string) (*x509.Certificate, error) {
	const limit = 64 << 10
	b, err := fsx.ReadFile(path, limit)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "%s: not a certificate in PEM", path), "the certificate alone: its private key stays with the client")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errs.E(errs.Invalid, err)
	}
	return c, nil
}

// with calls do with the accounts of the site directory.
func with(ctx context.Context, t *term.Term, do func(*site.Accounts) error) error {
	dir, err := t.SiteDir()
	if err != nil {
		return err
	}
	a, err := site.OpenAccounts(ctx, dir)
	if err != nil {
		return err
	}
	return errors.Join(do(a), a.Close())
}

// accountsOptions are the settings of registry accounts.
type accountsOptions struct{ json bool }

func accounts(t *term.Term, run verb.Run[accountsOptions]) *cobra.Command {
	var o accountsOptions
	c := &cobra.Command{
		Use:     "accounts",
		Short:   "List who may push to the registry",
		Long:    "Lists the accounts of the registry with what they may do. Tokens are not among it: nobody has them any more.",
		Example: "overland registry accounts\noverland registry accounts --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), t, o) },
	}
	verb.JSONFlag(c, &o.json)
	return c
}

func runAccounts(ctx context.Context, t *term.Term, o accountsOptions) error {
	return with(ctx, t, func(a *site.Accounts) error {
		list, err := a.List(ctx)
		if err != nil {
			return err
		}
		if o.json {
			return t.JSON(list)
		}
		rows := [][]string{}
		for _, one := range list {
			may := []string{}
			for _, g := range one.Grants {
				may = append(may, string(g.Action)+" "+g.Pattern)
			}
			until := "for good"
			if !one.Expires.IsZero() {
				until = term.When(one.Expires)
			}
			rows = append(rows, []string{one.Name, one.By, strings.Join(may, ", "), until})
		}
		t.Table("", "NAME KNOWN-BY MAY UNTIL", rows)
		return nil
	})
}

// removeOptions are the settings of registry remove-account.
type removeOptions struct{ name string }

func removeAccount(t *term.Term, run verb.Run[removeOptions]) *cobra.Command {
	return &cobra.Command{
		Use:     "remove-account NAME",
		Short:   "Take an account's rights",
		Long:    "Removes an account: its login does not hold from now on, also at a running site. What it pushed stays.",
		Example: "overland registry remove-account ci",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return run(c.Context(), t, removeOptions{args[0]})
		},
	}
}

func runRemoveAccount(ctx context.Context, t *term.Term, o removeOptions) error {
	return with(ctx, t, func(a *site.Accounts) error { return a.Remove(ctx, o.name) })
}
