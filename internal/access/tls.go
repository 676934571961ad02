package access

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
)

// Certificates are the files of TLS that a server follows, so that a renewed
// certificate is taken without a restart. It is safe for concurrent use.
type Certificates struct {
	cert, key, ca string
	last          [][]byte // what the files held, by Refresh alone
	now           atomic.Pointer[tls.Config]
}

// FollowCertificates reads a certificate and its key, in PEM. When ca names a
// file, clients must show a certificate that one in it has signed.
func FollowCertificates(cert, key, ca string) (*Certificates, error) {
	c := &Certificates{cert: cert, key: key, ca: ca}
	_, err := c.Refresh()
	return c, err
}

// Config serves the newest certificate that could be read.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.now.Load(), nil },
		// For http.Server, which wants to see one; GetConfigForClient goes first.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &c.now.Load().Certificates[0], nil },
	}
}

// Leaf is the certificate that is shown.
func (c *Certificates) Leaf() *x509.Certificate { return c.now.Load().Certificates[0].Leaf }

// Refresh reads the files again, and says whether they had changed. After an
// error, such as a key that is not yet the certificate's, those stay in force
// that were read before. It is called by one goroutine at a time.
func (c *Certificates) Refresh() (changed bool, err error) {
	var read [][]byte
	for _, path := range []string{c.cert, c.key, c.ca} {
		var b []byte
		if path != "" {
			if b, err = os.ReadFile(path); err != nil {
				return false, fmt.Errorf("read certificate: %w", err)
			}
		}
		read = append(read, b)
	}
	if slices.EqualFunc(read, c.last, bytes.Equal) {
		return false, nil
	}
	pair, err := tls.X509KeyPair(read[0], read[1])
	if err != nil {
		return false, fmt.Errorf("certificate %s with key %s: %w", c.cert, c.key, err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{pair}}
	if c.ca != "" {
		conf.ClientCAs, conf.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !conf.ClientCAs.AppendCertsFromPEM(read[2]) {
			return false, errors.New(c.ca + ": no certificate in PEM")
		}
	}
	c.last = read
	c.now.Store(conf)
	return true, nil
}
