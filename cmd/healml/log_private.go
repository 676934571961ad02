package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/predlog"
)

// extras are the columns of log.columns, with the key of the private ones.
func (a *app) extras() ([]predlog.Extra, error) {
	var extras []predlog.Extra
	for _, c := range a.conf.Log.Columns {
		e := predlog.Extra{Name: c.Name}
		if c.Private {
			key, err := a.privateKey()
			if err != nil {
				return nil, err
			}
			e.Key = key
		}
		extras = append(extras, e)
	}
	return extras, nil
}

// privateKey is the secret under which private columns are hashed: 32 bytes,
// drawn when they are first needed and kept in data/state/private.key, which
// only its owner may read. Without the file the hashes mean nothing.
func (a *app) privateKey() ([]byte, error) {
	path := filepath.Join(a.state(), "private.key")
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := durable.MkdirAll(a.state()); err != nil {
		return nil, err
	}
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := writeSecret(tmp); err != nil {
		return nil, err
	}
	// Whoever comes first wins: a link does not replace what is there.
	if err := os.Link(tmp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, &durable.WriteError{Path: path, Op: "create", Err: err}
	}
	if err := durable.Remove(tmp); err != nil { // syncs the directory
		return nil, err
	}
	return readKey(path)
}

func writeSecret(path string) error {
	var key [32]byte
	_, _ = rand.Read(key[:])                                               // never fails
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:forbidigo // durable's files may be read by all
	if err == nil {
		_, err = f.WriteString(hex.EncodeToString(key[:]) + "\n")
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return &durable.WriteError{Path: path, Op: "create", Err: err}
	}
	return nil
}

func readKey(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key of private columns: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("%w: %s is no key of 32 bytes in hexadecimal; restore it from a backup, or remove it: then values hash to something else from now on", errBadData, path)
	}
	return key, nil
}
