// Command read reads a data file once, by parts or as a whole, and tells how long
// that took: for read.py.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/healml/healml/internal/table"
)

func main() {
	keep := flag.Bool("keep", false, "keep all columns in memory")
	columns := flag.String("columns", "", "read only these, such as a,b")
	flag.Parse()
	o := table.ReadOptions{}
	if *columns != "" {
		o.Columns = strings.Split(*columns, ",")
	}
	start := time.Now()
	read := stream
	if *keep {
		read = whole
	}
	values, err := read(flag.Arg(0), o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var use syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"seconds": time.Since(start).Seconds(), "values": values, "mb": use.Maxrss / 1024})
}

func whole(path string, o table.ReadOptions) (values int64, err error) {
	t, err := table.Read(path, o)
	if err != nil {
		return 0, err
	}
	return int64(t.NumRows()) * int64(len(t.Names())), nil
}

// stream types all values part by part, twice when a column turns out to be of
// another type than its first values.
func stream(path string, o table.ReadOptions) (int64, error) {
	s, err := table.Open(path, o)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	for {
		var values atomic.Int64
		err := s.Stream(func(p table.Part) error {
			values.Add(int64(p.Len()))
			return nil
		})
		if err != table.ErrRetyped { //nolint:errorlint // it is never wrapped
			return values.Load(), err
		}
	}
}
