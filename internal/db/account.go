package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"overland/internal/errs"
)

// Login is an account of the site and how it is known.
type Login struct {
	Name    string
	Secret  string    // what nobody else can show, hashed: see package auth
	Grants  []Grant   // what it may do
	Made    time.Time // in whole milliseconds
	Expires time.Time // in whole milliseconds; the zero time = never
}

// Grant lets an account do something with what has a name of that form.
type Grant struct {
	Action  string `json:"action"`
	Pattern string `json:"pattern"`
}

// AddLogin stores l: errs.Conflict when there is an account of that name, or with that secret.
func (d *DB) AddLogin(ctx context.Context, l Login) error {
	return d.change(ctx, "add the account "+l.Name, func(tx *sql.Tx) error {
		grants, err := json.Marshal(append([]Grant{}, l.Grants...))
		if err != nil {
			return err
		}
		expires := int64(0)
		if !l.Expires.IsZero() {
			expires = l.Expires.UnixMilli()
		}
		r, err := tx.ExecContext(ctx, "INSERT INTO account (name, secret, grants, made, expires) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
			l.Name, l.Secret, string(grants), l.Made.UnixMilli(), expires)
		err = one(r, err)
		if errors.Is(err, sql.ErrNoRows) {
			err = errs.Errorf(errs.Conflict, "it is there already")
		}
		return err
	})
}

const loginColumns = "name, secret, grants, made, expires"

func readLogin(scan func(...any) error) (l Login, err error) {
	var grants string
	var made, expires int64
	if err := scan(&l.Name, &l.Secret, &grants, &made, &expires); err != nil {
		return l, err
	}
	l.Made = time.UnixMilli(made)
	if expires != 0 {
		l.Expires = time.UnixMilli(expires)
	}
	return l, json.Unmarshal([]byte(grants), &l.Grants)
}

// Login returns the account with that secret: errs.NotFound when there is none.
func (d *DB) Login(ctx context.Context, secret string) (Login, error) {
	l, err := readLogin(d.read.QueryRowContext(ctx, "SELECT "+loginColumns+" FROM account WHERE secret = $1", secret).Scan)
	return l, failed("look for an account", err)
}

// Logins returns all accounts, sorted by name.
func (d *DB) Logins(ctx context.Context) ([]Login, error) {
	var list []Login
	err := d.each(ctx, "list accounts", func(scan func(...any) error) error {
		l, err := readLogin(scan)
		list = append(list, l)
		return err
	}, "SELECT "+loginColumns+" FROM account ORDER BY name")
	return list, err
}

// RemoveLogin removes the account of that name: errs.NotFound when there is none.
func (d *DB) RemoveLogin(ctx context.Context, name string) error {
	return d.change(ctx, "remove the account "+name, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, "DELETE FROM account WHERE name = $1", name))
	})
}
