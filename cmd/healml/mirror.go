package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/mirror"
)

func newModelsPushCommand(a *app) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use: "push s3://BUCKET/PREFIX [VERSION]", Short: "Carry a version to a bucket (default: the one in force)", Args: cobra.RangeArgs(1, 2),
		Example: "  healml models push s3://models/sales",
		Long: `Carries a version to S3, or to a server that speaks its protocol, file by file and
never over what is there. The version in force also becomes the bucket's CURRENT,
which pull follows; one that is named does not.

Credentials are those of the environment (AWS_ACCESS_KEY_ID …), of ~/.aws, or of
the instance's role; AWS_ENDPOINT_URL names another server than Amazon's.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			store, prefix, err := mirror.OpenS3(args[0], os.Getenv)
			if err != nil {
				return usageError{err}
			}
			name := ""
			if len(args) == 2 {
				name = args[1]
			}
			l, err := a.load(name)
			if err != nil {
				return err
			}
			p := a.progress()
			defer p.done()
			point := name == "" && !keep
			if err := mirror.Push(cmd.Context(), store, prefix, l, point, func(done, total int) { p.step("push", done, total) }); err != nil {
				return err
			}
			p.done()
			r := struct {
				Version string `json:"version"`
				To      string `json:"to"`
				Current bool   `json:"current"`
			}{l.Manifest.Version, args[0], point}
			return a.print(r, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is at %s\n", r.Version, r.To)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&keep, "keep-current", false, "leave the bucket's CURRENT as it is")
	return cmd
}

func newModelsPullCommand(a *app) *cobra.Command {
	var promote bool
	cmd := &cobra.Command{
		Use: "pull s3://BUCKET/PREFIX [VERSION]", Short: "Take a version from a bucket (default: its CURRENT)", Args: cobra.RangeArgs(1, 2),
		Example: "  healml models pull s3://models/sales --promote",
		Long: `Takes a version from S3, or from a server that speaks its protocol. Every byte is
checked against the manifest, and the version proves itself on its golden rows
before it is in exported_model/. With --promote it is put in force, which a
running server follows; run that from cron on machines that serve.

Credentials as for push.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			version := ""
			if len(args) == 2 {
				version = args[1]
			}
			return a.pull(cmd.Context(), args[0], version, promote)
		},
	}
	cmd.Flags().BoolVar(&promote, "promote", false, "put it in force, if it is not")
	return cmd
}

func (a *app) pull(ctx context.Context, address, version string, promote bool) error {
	store, prefix, err := mirror.OpenS3(address, os.Getenv)
	if err != nil {
		return usageError{err}
	}
	if version == "" {
		if version, err = mirror.Current(ctx, store, prefix); err != nil {
			return err
		}
	}
	p := a.progress()
	defer p.done()
	reg := a.registry()
	n := 0
	fresh, err := mirror.Pull(ctx, store, prefix, version, reg, func(string) { n++; p.step("pull", n, 0) })
	p.done()
	if err != nil {
		return err
	}
	r := struct {
		Version  string `json:"version"`
		Fresh    bool   `json:"fresh"` // it was not here before
		Promoted bool   `json:"promoted"`
	}{Version: version, Fresh: fresh}
	if current, err := reg.Current(); promote && (err != nil || current != version) {
		if err := reg.Promote(version, "pulled from "+address, a.now()); err != nil {
			return err
		}
		a.followHand(true)
		r.Promoted = true
	}
	return a.print(r, func(w io.Writer) error {
		text := version + " was here already"
		if fresh {
			text = version + " is here now"
		}
		if r.Promoted {
			text += ", and in force"
		}
		_, err := fmt.Fprintln(w, text)
		return err
	})
}
