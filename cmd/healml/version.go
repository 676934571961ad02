package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/healml/healml/internal/durable"
)

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  healml version -o json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{version, runtime.Version(), runtime.GOOS, runtime.GOARCH}
			return a.print(v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "healml %s (%s, %s/%s)\n", v.Version, v.Go, v.OS, v.Arch)
				return err
			})
		},
	}
}

func newDocsCommand(root *cobra.Command) *cobra.Command {
	var dir string
	docs := group(&cobra.Command{Use: "docs", Short: "Write the manual"})
	man := &cobra.Command{
		Use:     "man",
		Short:   "Write man pages into a directory",
		Example: "  healml docs man --dir /usr/local/share/man/man1",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := durable.MkdirAll(dir); err != nil {
				return err
			}
			return doc.GenManTree(root, &doc.GenManHeader{Title: "HEALML", Section: "1", Source: "healml " + version}, dir)
		},
	}
	man.Flags().StringVar(&dir, "dir", "man", "directory to write into")
	docs.AddCommand(man)
	return docs
}
