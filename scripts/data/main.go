// Command data writes the sample that ships with healml, data/sales.csv:
//
//	go run ./scripts/data > data/sales.csv
//
// The sample is [synth.Sales] with seed 1: three years of daily sales whose
// law changes at known dates.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
)

const seed = 1

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "data:", err)
		os.Exit(1)
	}
}

func write(w io.Writer) error {
	sales, _ := synth.Sales(seed, synth.Options{})
	out := bufio.NewWriter(w)
	if err := table.WriteCSV(out, sales); err != nil {
		return fmt.Errorf("write sales: %w", err)
	}
	return out.Flush()
}
