package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/healml/healml/internal/onnx"
	"github.com/healml/healml/internal/registry"
)

func newExportCommand(a *app) *cobra.Command {
	var format, out string
	var force bool
	cmd := &cobra.Command{
		Use:     "export [VERSION] --format mlflow|lightgbm|onnx --out PATH",
		Short:   "Hand a version to other systems",
		Example: "  healml export --format mlflow --out sales-model",
		Args:    atMostOneArg("VERSION"),
		RunE: func(_ *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return runExport(a, name, format, out, force)
		},
	}
	f := cmd.Flags()
	f.StringVar(&format, "format", "mlflow", "mlflow (a model directory), lightgbm (a text file) or onnx (a graph from raw columns)")
	f.StringVar(&out, "out", "", "where to write it")
	f.BoolVar(&force, "force", false, "replace what is there")
	return cmd
}

func runExport(a *app, name, format, out string, force bool) error {
	if out == "" {
		return usageError{fmt.Errorf("--out is missing: name where to write")}
	}
	loaded, err := a.load(name)
	if err != nil {
		return err
	}
	switch format {
	case "mlflow":
		err = loaded.ExportMLflow(out, force)
	case "lightgbm":
		err = loaded.ExportLightGBM(out, force)
	case "onnx":
		var graph []byte
		if graph, err = onnx.Encode(loaded.Model, version); err == nil {
			err = registry.ExportFile(out, graph, force)
		}
	default:
		return usageError{fmt.Errorf("--format is %q, expected mlflow, lightgbm or onnx", format)}
	}
	if err != nil {
		return err
	}
	result := struct {
		Version string `json:"version"`
		Format  string `json:"format"`
		Out     string `json:"out"`
	}{loaded.Manifest.Version, format, out}
	return a.print(result, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "wrote %s: %s as %s\n", out, result.Version, format)
		return err
	})
}
