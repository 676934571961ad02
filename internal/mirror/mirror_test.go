package mirror

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/healml/healml/internal/registry"
)

// shelf is a bucket in memory that fails from the call failAt on, if that is not
// 0, once the object is written.
type shelf struct {
	objects map[string][]byte
	calls   int
	failAt  int
}

var errCut = errors.New("the network is cut")

func (s *shelf) call() error {
	s.calls++
	if s.failAt > 0 && s.calls >= s.failAt {
		return errCut
	}
	return nil
}

func (s *shelf) Get(_ context.Context, key string, most int64) ([]byte, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	b, ok := s.objects[key]
	if !ok {
		return nil, ErrNotFound
	}
	if int64(len(b)) > most {
		return nil, errors.New("too large")
	}
	return b, nil
}

func (s *shelf) Create(ctx context.Context, key string, b []byte) error {
	if _, ok := s.objects[key]; ok {
		return errors.Join(s.call(), ErrExists)
	}
	return s.Replace(ctx, key, b)
}

func (s *shelf) Replace(_ context.Context, key string, b []byte) error {
	s.objects[key] = bytes.Clone(b)
	return s.call()
}

func silent(int, int)  {}
func quietly(string)   {}
func newShelf() *shelf { return &shelf{objects: map[string][]byte{}} }

// shipped is the version that the repository ships.
func shipped(t *testing.T) *registry.Loaded {
	t.Helper()
	reg := registry.Open("../../exported_model")
	current, err := reg.Current()
	if err != nil {
		t.Fatal(err)
	}
	l, err := reg.Load(current)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func empty(t *testing.T) *registry.Registry {
	t.Helper()
	return registry.Open(filepath.Join(t.TempDir(), "exported_model"))
}

// roundTrip carries a version through a store, twice each way.
func roundTrip(t *testing.T, s Store, prefix string) {
	t.Helper()
	ctx, l, reg := t.Context(), shipped(t), empty(t)
	version := l.Manifest.Version
	if _, err := Current(ctx, s, prefix); !errors.Is(err, ErrNotFound) {
		t.Fatalf("an empty bucket has a current version: %v", err)
	}
	for range 2 {
		if err := Push(ctx, s, prefix, l, true, silent); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Current(ctx, s, prefix); err != nil || got != version {
		t.Fatalf("current is %q, %v", got, err)
	}
	for _, want := range []bool{true, false} {
		fresh, err := Pull(ctx, s, prefix, version, reg, quietly)
		if err != nil || fresh != want {
			t.Fatalf("pull: %v, %v", fresh, err)
		}
	}
	got, err := reg.Load(version)
	if err != nil || got.Manifest.SHA256 != l.Manifest.SHA256 {
		t.Fatalf("another version came: %v", err)
	}
}

func TestRoundTrip(t *testing.T) { roundTrip(t, newShelf(), "models/sales") }

// TestTheNetworkIsCut at each call of a push and of a pull: nothing half is in
// the registry, CURRENT names no version that is not whole, and a second try
// succeeds.
func TestTheNetworkIsCut(t *testing.T) {
	ctx, l := t.Context(), shipped(t)
	version := l.Manifest.Version
	whole := newShelf()
	if err := Push(ctx, whole, "p", l, true, silent); err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut <= whole.calls; cut++ {
		s := newShelf()
		s.failAt = cut
		if err := Push(ctx, s, "p", l, true, silent); !errors.Is(err, errCut) {
			t.Fatalf("cut %d: %v", cut, err)
		}
		if _, ok := s.objects["p/CURRENT"]; ok && len(s.objects) != len(whole.objects) {
			t.Errorf("cut %d: CURRENT is there before the version is whole", cut)
		}
		s.failAt = 0
		if err := Push(ctx, s, "p", l, true, silent); err != nil || len(s.objects) != len(whole.objects) {
			t.Errorf("cut %d: the second push: %v, %d objects", cut, err, len(s.objects))
		}
	}
	reg := empty(t)
	for cut := 1; ; cut++ {
		s := &shelf{objects: whole.objects, failAt: cut}
		_, err := Pull(ctx, s, "p", version, reg, quietly)
		if err == nil {
			break
		}
		if versions, _ := reg.Versions(); !errors.Is(err, errCut) || len(versions) > 0 {
			t.Fatalf("cut %d: %v; %q are in the registry", cut, err, versions)
		}
	}
	if err := reg.Verify(version); err != nil {
		t.Error(err)
	}
}

// TestWhatComesBackIsChecked alters each object: no version is taken.
func TestWhatComesBackIsChecked(t *testing.T) {
	ctx, l := t.Context(), shipped(t)
	version := l.Manifest.Version
	whole := newShelf()
	if err := Push(ctx, whole, "", l, true, silent); err != nil {
		t.Fatal(err)
	}
	for key, b := range whole.objects {
		if key == "CURRENT" {
			continue
		}
		for what, bent := range map[string][]byte{"flipped": append(bytes.Clone(b[:len(b)/2]), append([]byte{b[len(b)/2] ^ 1}, b[len(b)/2+1:]...)...), "cut": b[:len(b)-1], "empty": {}, "gone": nil} {
			s := &shelf{objects: maps.Clone(whole.objects)}
			s.objects[key] = bent
			if bent == nil {
				delete(s.objects, key)
			}
			reg := empty(t)
			if _, err := Pull(ctx, s, "", version, reg, quietly); err == nil {
				t.Errorf("%s %s: taken", key, what)
			}
			if versions, _ := reg.Versions(); len(versions) > 0 {
				t.Errorf("%s %s: %q are in the registry", key, what, versions)
			}
		}
	}
	s := &shelf{objects: maps.Clone(whole.objects)}
	s.objects[version+"/model.lgb"] = []byte("other")
	if err := Push(ctx, s, "", l, true, silent); !errors.Is(err, ErrExists) || string(s.objects[version+"/model.lgb"]) != "other" {
		t.Errorf("another content was replaced: %v", err)
	}
	for _, name := range []string{"../../etc/passwd", "", "v1", strings.Repeat("v", 300)} {
		s.objects["CURRENT"] = []byte(name)
		if got, err := Current(ctx, s, ""); err == nil {
			t.Errorf("CURRENT %q is taken for %q", name, got)
		}
	}
}

// bucket is a server that speaks as much of S3 as it is asked.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	broken  int // requests that are still answered with 503
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	refuse := func(status int, code string) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
	}
	there, ok := b.objects[r.URL.Path]
	switch {
	case b.broken > 0:
		b.broken--
		refuse(503, "SlowDown")
	case !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "):
		refuse(403, "AccessDenied")
	case r.Method == http.MethodPut && ok && r.Header.Get("If-None-Match") == "*":
		refuse(412, "PreconditionFailed")
	case r.Method == http.MethodPut:
		body, err := unchunked(r)
		if err != nil {
			refuse(400, "BadRequest")
			return
		}
		b.objects[r.URL.Path] = body
		w.Header().Set("ETag", `"e"`)
	case !ok:
		refuse(404, "NoSuchKey")
	default:
		w.Header().Set("ETag", `"e"`)
		w.Header().Set("Last-Modified", "Wed, 25 Nov 2026 00:00:00 GMT")
		w.Header().Set("Content-Length", strconv.Itoa(len(there)))
		w.Write(there) //nolint:errcheck // the client is gone: nobody to tell
	}
}

// unchunked reads a body that may be signed in chunks.
func unchunked(r *http.Request) ([]byte, error) {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return io.ReadAll(r.Body)
	}
	var out []byte
	in := bufio.NewReader(r.Body)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil || n == 0 {
			return out, err
		}
		part := make([]byte, n+2)
		if _, err := io.ReadFull(in, part); err != nil {
			return nil, err
		}
		out = append(out, part[:n]...)
	}
}

func openTest(t *testing.T, url string) (Store, string) {
	t.Helper()
	env := map[string]string{"AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1"}
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	s, prefix, err := OpenS3("s3://models/shop/sales/", func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	return s, prefix
}

func TestS3(t *testing.T) {
	b := &bucket{objects: map[string][]byte{}}
	server := httptest.NewServer(b)
	defer server.Close()
	s, prefix := openTest(t, server.URL)
	roundTrip(t, s, prefix)
	keys := slices.Sorted(maps.Keys(b.objects))
	if !slices.Contains(keys, "/models/shop/sales/CURRENT") {
		t.Errorf("objects are %q", keys)
	}
	b.broken = 2 // it is tried again
	if _, err := Current(t.Context(), s, prefix); err != nil {
		t.Errorf("a server that was busy for a moment: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	server.Close()
	ctx, stop := context.WithTimeout(t.Context(), 1)
	defer stop()
	if _, err := s.Get(ctx, "x", 1); err == nil {
		t.Error("a server that is gone answered")
	}
}

func TestOpenS3(t *testing.T) {
	for _, bad := range []string{"models/sales", "http://models", "s3://", "s3:/x", "%"} {
		if _, _, err := OpenS3(bad, os.Getenv); err == nil {
			t.Errorf("took %q", bad)
		}
	}
	if _, _, err := OpenS3("s3://m/p", func(string) string { return "localhost:9000" }); err == nil {
		t.Error("took an endpoint without http")
	}
}
