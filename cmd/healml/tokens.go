package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/access"
	"github.com/healml/healml/internal/config"
	"github.com/healml/healml/internal/durable"
)

func newTokensCommand(a *app) *cobra.Command {
	tokens := group(&cobra.Command{Use: "tokens", Short: "Who may ask the server", Example: "  healml tokens list",
		Long: `Keeps the file that serve.tokens names. Once it is set, the server answers nobody
without a token but for its probes (/health, /ready, /ping, /version, /v2/health).
The file holds hashes of tokens only, and a running server follows it.`})
	var scopes []string
	var expires string
	add := &cobra.Command{
		Use: "add NAME", Short: "Make a token and print it, once", Args: oneArg("NAME"),
		Example: "  healml tokens add shop --scope predict,actuals --expires 90d",
		Long: `Makes a token and prints it; it can never be read again. The scopes are
predict (predictions, explanations and descriptions of the model), actuals
(telling what came true) and admin (metrics, and all that the others may).`,
		RunE: func(_ *cobra.Command, args []string) error { return a.addToken(args[0], scopes, expires) },
	}
	add.Flags().StringSliceVar(&scopes, "scope", []string{string(access.Predict)}, "what it is good for: predict, actuals, admin")
	add.Flags().StringVar(&expires, "expires", "", "after how long it is good for nothing, such as 90d (default: never)")
	tokens.AddCommand(add,
		&cobra.Command{Use: "list", Short: "List tokens, which are not told", Args: noArgs, Example: "  healml tokens list", RunE: func(*cobra.Command, []string) error { return a.listTokens() }},
		&cobra.Command{Use: "remove NAME", Short: "Take a token away", Args: oneArg("NAME"), Example: "  healml tokens remove shop",
			RunE: func(_ *cobra.Command, args []string) error {
				return a.changeTokens(func(t *access.Tokens) error {
					if !t.Remove(args[0]) {
						return usageError{fmt.Errorf("there is no token %s; healml tokens list shows them", args[0])}
					}
					a.notice("removed %s; a running server refuses it within serve.poll (%v)", args[0], a.conf.Serve.Poll)
					return nil
				})
			}},
	)
	return tokens
}

// tokensPath is the file that the configuration names.
func (a *app) tokensPath() (string, error) {
	if a.conf.Serve.Tokens == "" {
		return "", usageError{errors.New("serve.tokens is not set: name a file in healml.yaml, such as\n\n  serve:\n    tokens: data/tokens\n\nWithout it whoever reaches the server may ask")}
	}
	return a.below(a.conf.Serve.Tokens), nil
}

// changeTokens replaces the file of tokens under its lock.
func (a *app) changeTokens(change func(*access.Tokens) error) (err error) {
	path, err := a.tokensPath()
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(a.state()); err != nil {
		return err
	}
	lock, err := durable.Lock(a.path("data", "state", "tokens.lock"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	t, err := access.Read(path)
	if err != nil {
		return err
	}
	if err := change(t); err != nil {
		return err
	}
	return access.Write(path, t)
}

func (a *app) addToken(name string, scopes []string, expires string) error {
	var until time.Time
	if expires != "" {
		d, err := config.ParseDuration(expires)
		if err != nil || d <= 0 {
			return usageError{fmt.Errorf("--expires %q: expected a duration such as 90d", expires)}
		}
		until = a.now().Add(d)
	}
	var secret string
	err := a.changeTokens(func(t *access.Tokens) (err error) {
		want := make([]access.Scope, len(scopes))
		for i, s := range scopes {
			want[i] = access.Scope(strings.TrimSpace(s))
		}
		if secret, err = t.Add(name, want, a.now(), until); err != nil {
			return usageError{err}
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.notice("this is the only time that the token is shown; send it as \"Authorization: Bearer …\"")
	return a.print(map[string]string{"name": name, "token": secret}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, secret)
		return err
	})
}

func (a *app) listTokens() error {
	path, err := a.tokensPath()
	if err != nil {
		return err
	}
	t, err := access.Read(path)
	if err != nil {
		return err
	}
	type entry struct {
		Name    string         `json:"name"`
		Scopes  []access.Scope `json:"scopes"`
		Created time.Time      `json:"created"`
		Expires time.Time      `json:"expires,omitzero"`
		Expired bool           `json:"expired"`
	}
	all := []entry{}
	for _, k := range t.List {
		all = append(all, entry{k.Name, k.Scopes, k.Created, k.Expires, k.Expired(a.now())})
	}
	return a.print(all, func(w io.Writer) error {
		if len(all) == 0 {
			_, err := fmt.Fprintf(w, "no token in %s; healml tokens add makes one\n", path)
			return err
		}
		t := newTable(w, "name", "scopes", "created", "expires")
		for _, e := range all {
			expires := "never"
			if !e.Expires.IsZero() {
				expires = e.Expires.UTC().Format(time.RFC3339)
			}
			if e.Expired {
				expires += ", expired"
			}
			t.AppendRow(row(e.Name, fmt.Sprint(e.Scopes), e.Created.UTC().Format(time.RFC3339), expires))
		}
		t.Render()
		return nil
	})
}
