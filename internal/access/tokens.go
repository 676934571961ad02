// Package access says who may ask a server: bearer tokens, of which only the
// hashes are kept, and the certificates of TLS. Both are files that change while
// a server runs; they are looked at again whenever it is told to, and what is
// broken leaves in force what was read before.
//
// The file of tokens is described in docs/format/tokens.md.
package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Scope is what a token lets its holder do.
type Scope string

// The scopes. Admin is what operators and monitoring need, and lets do
// everything else, too.
const (
	Predict Scope = "predict"
	Actuals Scope = "actuals"
	Admin   Scope = "admin"
)

// Scopes are all there are.
func Scopes() []Scope { return []Scope{Predict, Actuals, Admin} }

// Token is one entry: who holds it and what for, but not the secret.
type Token struct {
	Name    string
	Scopes  []Scope
	Created time.Time
	Expires time.Time // zero: never
	sum     [sha256.Size]byte
}

// Allows says whether a token is good for a scope.
func (t *Token) Allows(s Scope) bool {
	return slices.Contains(t.Scopes, s) || slices.Contains(t.Scopes, Admin)
}

// Expired says whether a token is good for nothing any more.
func (t *Token) Expired(now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires)
}

// Tokens is a list of them. The zero value has none. It is immutable but for
// Add and Remove.
type Tokens struct{ List []Token }

// secretPrefix makes a token that was committed or logged by mistake easy to
// search for.
const secretPrefix = "healml_"

// header is the first line of a file of tokens.
const header = "# healml tokens 1"

var nameRule = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Add makes a token and returns its secret, which is 32 random bytes and kept
// nowhere.
func (t *Tokens) Add(name string, scopes []Scope, now, expires time.Time) (secret string, err error) {
	switch {
	case !nameRule.MatchString(name):
		return "", fmt.Errorf("name %q: expected 1 to 64 characters of A-Z a-z 0-9 . _ -", name)
	case len(scopes) == 0:
		return "", fmt.Errorf("token %s: no scope; expected some of %v", name, Scopes())
	case slices.ContainsFunc(t.List, func(o Token) bool { return o.Name == name }):
		return "", fmt.Errorf("there is a token %s already; remove it first, or give another name", name)
	}
	for _, s := range scopes {
		if !slices.Contains(Scopes(), s) {
			return "", fmt.Errorf("scope %q: expected some of %v", s, Scopes())
		}
	}
	var b [32]byte
	rand.Read(b[:]) // never fails
	secret = secretPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	t.List = append(t.List, Token{Name: name, Scopes: scopes, Created: now.UTC().Truncate(time.Second), Expires: expires, sum: sha256.Sum256([]byte(secret))})
	return secret, nil
}

// Remove takes the token of a name out, and says whether there was one.
func (t *Tokens) Remove(name string) bool {
	n := len(t.List)
	t.List = slices.DeleteFunc(t.List, func(o Token) bool { return o.Name == name })
	return len(t.List) < n
}

// Find is the token that a secret belongs to, unless it has expired. How long
// it takes says nothing about the secrets: their hashes are compared, all of
// them, in constant time.
func (t *Tokens) Find(secret []byte, now time.Time) *Token {
	sum := sha256.Sum256(secret)
	var found *Token
	for i := range t.List {
		if subtle.ConstantTimeCompare(sum[:], t.List[i].sum[:]) == 1 {
			found = &t.List[i]
		}
	}
	if found != nil && found.Expired(now) {
		return nil
	}
	return found
}

// Format is the list as a file holds it.
func (t *Tokens) Format() []byte {
	out := []byte(header + "\n# name scopes sha256-of-the-token created expires\n")
	for i := range t.List {
		k := &t.List[i]
		scopes := make([]string, len(k.Scopes))
		for i, s := range k.Scopes {
			scopes[i] = string(s)
		}
		expires := "never"
		if !k.Expires.IsZero() {
			expires = k.Expires.UTC().Format(time.RFC3339)
		}
		out = fmt.Appendf(out, "%s %s %x %s %s\n", k.Name, strings.Join(scopes, ","), k.sum, k.Created.UTC().Format(time.RFC3339), expires)
	}
	return out
}

// Parse reads a file of tokens; name stands for it in errors. A file of another
// version is an error.
func Parse(name string, b []byte) (*Tokens, error) {
	t := &Tokens{}
	for i, line := range strings.Split(string(b), "\n") {
		bad := func(format string, args ...any) error {
			return fmt.Errorf("%s:%d: %s", name, i+1, fmt.Sprintf(format, args...))
		}
		line = strings.TrimSpace(line)
		if i == 0 && line != header {
			return nil, bad("found %.40q, expected %q: not a file of tokens of a version that is known", line, header)
		}
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 5 {
			return nil, bad("%d fields, expected name, scopes, hash, created and expires", len(f))
		}
		k := Token{Name: f[0]}
		if !nameRule.MatchString(k.Name) || slices.ContainsFunc(t.List, func(o Token) bool { return o.Name == k.Name }) {
			return nil, bad("name %q: not a name, or given twice", k.Name)
		}
		for _, s := range strings.Split(f[1], ",") {
			if !slices.Contains(Scopes(), Scope(s)) {
				return nil, bad("scope %q: expected some of %v", s, Scopes())
			}
			k.Scopes = append(k.Scopes, Scope(s))
		}
		sum, err := hex.DecodeString(f[2])
		if err != nil || len(sum) != sha256.Size {
			return nil, bad("token %s: its hash is not 64 hexadecimal digits", k.Name)
		}
		copy(k.sum[:], sum)
		if k.Created, err = time.Parse(time.RFC3339, f[3]); err != nil {
			return nil, bad("token %s: created %q is no time", k.Name, f[3])
		}
		if f[4] != "never" {
			if k.Expires, err = time.Parse(time.RFC3339, f[4]); err != nil {
				return nil, bad("token %s: expires %q is neither a time nor never", k.Name, f[4])
			}
		}
		t.List = append(t.List, k)
	}
	return t, nil
}
