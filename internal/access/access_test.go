package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func save(t *testing.T, path string, b []byte) {
	t.Helper()
	must(t, os.WriteFile(path, b, 0o600))
}

var now = time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)

func TestTokens(t *testing.T) {
	var list Tokens
	app, err := list.Add("app", []Scope{Predict, Actuals}, now, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	brief, err := list.Add("brief", []Scope{Admin}, now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if len(app) < 43+len(secretPrefix) || app == brief || !strings.HasPrefix(app, secretPrefix) {
		t.Errorf("secrets are %q and %q", app, brief)
	}
	file := string(list.Format())
	if strings.Contains(file, app) || strings.Contains(file, app[len(secretPrefix):]) {
		t.Error("the file holds the secret")
	}
	back, err := Parse("f", []byte(file))
	if err != nil || string(back.Format()) != file {
		t.Fatalf("%v: %s", err, back.Format())
	}
	for _, c := range []struct {
		secret string
		at     time.Time
		name   string
	}{{app, now, "app"}, {brief, now, "brief"}, {brief, now.Add(time.Hour), ""}, {app + "x", now, ""}, {app[:len(app)-1], now, ""}, {"", now, ""}} {
		k := back.Find([]byte(c.secret), c.at)
		if (k == nil) != (c.name == "") || k != nil && k.Name != c.name {
			t.Errorf("%q at %v is %v, expected %q", c.secret, c.at, k, c.name)
		}
	}
	k := back.Find([]byte(app), now)
	if !k.Allows(Predict) || !k.Allows(Actuals) || k.Allows(Admin) || !back.List[1].Allows(Predict) {
		t.Errorf("scopes of %+v", back.List)
	}
	if !back.Remove("app") || back.Remove("app") || back.Find([]byte(app), now) != nil {
		t.Error("a token that was removed is good")
	}
	for _, bad := range []struct {
		name   string
		scopes []Scope
	}{{"a b", []Scope{Predict}}, {"", []Scope{Predict}}, {"x", nil}, {"x", []Scope{"all"}}, {"brief", []Scope{Predict}}} {
		if _, err := back.Add(bad.name, bad.scopes, now, time.Time{}); err == nil {
			t.Errorf("took %+v", bad)
		}
	}
}

func TestParseFaults(t *testing.T) {
	good := "app predict " + strings.Repeat("0f", 32) + " 2026-03-02T06:00:00Z never"
	for body, says := range map[string]string{
		"":                                 "f:1: found \"\"",
		"# healml tokens 2\n" + good:       "a version that is known",
		header + "\n" + good + " x":        "f:2: 6 fields",
		header + "\n" + good + "\n" + good: "f:3: name \"app\"",
		header + "\n\n" + good[:20]:        "f:3: 3 fields",
		header + "\n" + strings.Replace(good, "predict", "all", 1):     "scope \"all\"",
		header + "\n" + strings.Replace(good, "0f0f", "0f", 1):         "64 hexadecimal",
		header + "\n" + strings.Replace(good, "0f0f", "0fxy", 1):       "64 hexadecimal",
		header + "\n" + strings.Replace(good, "2026-03", "2026-13", 1): "is no time",
		header + "\n" + strings.Replace(good, "never", "soon", 1):      "neither a time nor never",
	} {
		if _, err := Parse("f", []byte(body)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, expected to hear %s", body, err, says)
		}
	}
	if list, err := Parse("f", []byte(header+"\r\n # a remark\r\n\r\n"+good+"\r\n")); err != nil || len(list.List) != 1 {
		t.Errorf("%v %v", list, err)
	}
}

// TestFileIsFollowed keeps what was read while the file is broken or gone.
func TestFileIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	if _, err := Follow(path); err == nil {
		t.Error("followed a file that is not there")
	}
	var list Tokens
	one, err := list.Add("one", []Scope{Predict}, now, time.Time{})
	must(t, err)
	must(t, Write(path, &list))
	f, err := Follow(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		write   func()
		changed bool
		fails   bool
		good    bool
	}{
		{func() {}, false, false, true},
		{func() { save(t, path, []byte("rubbish")) }, false, true, true},
		{func() { must(t, os.Remove(path)) }, false, true, true},
		{func() { list.Remove("one"); must(t, Write(path, &list)) }, true, false, false},
	} {
		c.write()
		changed, err := f.Refresh()
		if changed != c.changed || (err != nil) != c.fails || (f.Tokens().Find([]byte(one), now) != nil) != c.good {
			t.Errorf("%v, %v", changed, err)
		}
	}
	if list, err := Read(path + "2"); err != nil || len(list.List) != 0 {
		t.Errorf("a file that is not there: %v %v", list, err)
	}
}

// authority signs certificates of a name.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue writes a certificate of 127.0.0.1 with a serial number, and its key.
func (a *authority) issue(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	save(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	save(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kder}))
	return cert, key
}

// shake connects and returns the serial number of the certificate shown.
func shake(c *Certificates, client *tls.Config) (int64, error) {
	ln, err := tls.Listen("tcp", "127.0.0.1:0", c.Config())
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			err = conn.(*tls.Conn).Handshake()
			conn.Close()
		}
		done <- err
	}()
	conn, err := tls.Dial("tcp", ln.Addr().String(), client)
	if err != nil {
		<-done //nolint:errcheck // the client saw it, too
		return 0, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), <-done
}

func TestCertificatesAreFollowed(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t)
	cert, key := ca.issue(t, dir, 7)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	client := &tls.Config{RootCAs: pool}
	c, err := FollowCertificates(cert, key, "")
	if err != nil {
		t.Fatal(err)
	}
	want := func(serial int64) {
		t.Helper()
		if got, err := shake(c, client); err != nil || got != serial {
			t.Fatalf("certificate %d, %v, expected %d", got, err, serial)
		}
	}
	want(7)
	if changed, err := c.Refresh(); changed || err != nil {
		t.Errorf("%v %v", changed, err)
	}
	old, err := os.ReadFile(key)
	must(t, err)
	ca.issue(t, dir, 8)
	renewed, err := os.ReadFile(key)
	must(t, err)
	save(t, key, old) // half of a renewal
	if _, err := c.Refresh(); err == nil {
		t.Error("took a key that is not the certificate's")
	}
	want(7)
	save(t, key, renewed)
	if changed, err := c.Refresh(); !changed || err != nil {
		t.Errorf("%v %v", changed, err)
	}
	want(8)
	if c.Leaf().SerialNumber.Int64() != 8 {
		t.Error("the leaf is another")
	}
}

func TestClientsMustShowACertificate(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	ca := newAuthority(t)
	cert, key := ca.issue(t, dir, 1)
	caFile := filepath.Join(dir, "ca.pem")
	save(t, caFile, ca.pem)
	c, err := FollowCertificates(cert, key, caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	if _, err := shake(c, &tls.Config{RootCAs: pool}); err == nil {
		t.Error("a client without a certificate got in")
	}
	for name, from := range map[string]*authority{"its own": ca, "a stranger's": newAuthority(t)} {
		cert, key := from.issue(t, other, 2)
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := shake(c, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}); (err == nil) != (from == ca) {
			t.Errorf("a client of %s authority: %v", name, err)
		}
	}
	save(t, caFile, []byte("none"))
	if _, err := FollowCertificates(cert, key, caFile); err == nil {
		t.Error("took an authority without a certificate")
	}
}
