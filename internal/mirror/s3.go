package mirror

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3 is a bucket of Amazon S3, or of a server that speaks its protocol.
type s3 struct {
	client *minio.Client
	bucket string
}

// OpenS3 opens s3://BUCKET/PREFIX. The endpoint is AWS_ENDPOINT_URL_S3 or
// AWS_ENDPOINT_URL, else Amazon's, the region AWS_REGION; the credentials are
// those of the environment, of the files of the AWS command line, or of the
// instance's role. A server that is no Amazon is asked with the bucket in the
// path.
func OpenS3(address string, getenv func(string) string) (store Store, prefix string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "s3" || u.Host == "" {
		return nil, "", fmt.Errorf("%q: expected s3://BUCKET/PREFIX", address)
	}
	endpoint, secure := "s3.amazonaws.com", true
	if e := cmp.Or(getenv("AWS_ENDPOINT_URL_S3"), getenv("AWS_ENDPOINT_URL")); e != "" {
		at, err := url.Parse(e)
		if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
			return nil, "", fmt.Errorf("AWS_ENDPOINT_URL is %q: expected http://HOST or https://HOST", e)
		}
		endpoint, secure = at.Host, at.Scheme == "https"
	}
	client, err := minio.New(endpoint, &minio.Options{
		Secure: secure, Region: cmp.Or(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION")),
		Creds: credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{Client: http.DefaultClient}}),
	})
	if err != nil {
		return nil, "", fmt.Errorf("open %s: %w", address, err)
	}
	return &s3{client, u.Host}, strings.Trim(u.Path, "/"), nil
}

func (s *s3) Get(ctx context.Context, key string, most int64) ([]byte, error) {
	o, err := s.client.GetObject(ctx, s.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, s.fault(key, err)
	}
	defer o.Close()
	b, err := io.ReadAll(io.LimitReader(o, most+1))
	if err != nil {
		return nil, s.fault(key, err)
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("s3://%s/%s has more than the %d bytes that it may", s.bucket, key, most)
	}
	return b, nil
}

// Create is one conditional PUT: with several parts the condition would get lost.
func (s *s3) Create(ctx context.Context, key string, b []byte) error {
	o := minio.PutObjectOptions{DisableMultipart: true, SendContentMd5: true}
	o.SetMatchETagExcept("*")
	return s.put(ctx, key, b, o)
}

func (s *s3) Replace(ctx context.Context, key string, b []byte) error {
	return s.put(ctx, key, b, minio.PutObjectOptions{DisableMultipart: true, SendContentMd5: true})
}

func (s *s3) put(ctx context.Context, key string, b []byte, o minio.PutObjectOptions) error {
	_, err := s.client.PutObject(ctx, s.bucket, key, bytes.NewReader(b), int64(len(b)), o)
	return s.fault(key, err)
}

// fault says what an error of the client means.
func (s *s3) fault(key string, err error) error {
	if err == nil {
		return nil
	}
	at := "s3://" + s.bucket + "/" + key
	switch r := minio.ToErrorResponse(err); {
	case r.Code == "NoSuchKey":
		return fmt.Errorf("%s: %w", at, ErrNotFound)
	case r.Code == "PreconditionFailed", r.StatusCode == http.StatusPreconditionFailed:
		return fmt.Errorf("%s: %w", at, ErrExists)
	case errors.Is(err, context.Canceled):
		return err
	case os.IsTimeout(err), r.StatusCode == 0, r.StatusCode >= 500, r.StatusCode == http.StatusForbidden, r.Code == "NoSuchBucket":
		return fmt.Errorf("%s: %w: %w", at, ErrUnreachable, err)
	}
	return fmt.Errorf("%s: %w", at, err)
}
