// Command replay drives healml's commands through a data file in time order;
// see ../replay.sh.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/healml/healml/internal/table"
)

type replay struct {
	healml, root   string
	target, column string
	metric         func(y, p float64) float64
	drop           string

	static, healed, rows float64
	promoted, drifted    int
	acted                int
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: replay DATA --target COLUMN --time COLUMN")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

func run(path string, args []string) (err error) {
	f := flag.NewFlagSet("replay", flag.ExitOnError)
	target := f.String("target", "", "column to predict")
	column := f.String("time", "", "column of times")
	every := f.Int("every", 7, "days of a period")
	metric := f.String("metric", "mae_log1p", "mae_log1p or mae")
	keep := f.String("keep", "", "leave the root directory here")
	drop := f.String("drop", "", "columns to leave out")
	if err := f.Parse(args); err != nil {
		return err
	}
	t, err := table.Read(path, table.ReadOptions{Types: map[string]table.Type{*column: table.Time, *target: table.Float}})
	if err != nil {
		return err
	}
	root := *keep
	if root == "" {
		if root, err = os.MkdirTemp("", "replay-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	}
	r := &replay{healml: os.Getenv("HEALML"), root: root, target: *target, column: *column, drop: *drop}
	r.metric = func(y, p float64) float64 { return math.Abs(math.Log1p(y) - math.Log1p(max(p, 0))) }
	if *metric == "mae" {
		r.metric = func(y, p float64) float64 { return math.Abs(y - p) }
	}
	start := time.Now()
	if err := r.play(t, int64(*every)*24*3600*1e6); err != nil {
		return err
	}
	fmt.Printf("rows %.0f  static %s %.4f  healed %.4f  (%+.1f %%)  drift found %d times, cures tried %d times, promoted %d  %.1f s\n",
		r.rows, *metric, r.static/r.rows, r.healed/r.rows, 100*(r.healed/r.static-1), r.drifted, r.acted, r.promoted, time.Since(start).Seconds())
	return nil
}

// play trains on the first 40 % of the periods and lives through the rest.
func (r *replay) play(t *table.Table, period int64) error {
	times := t.Column(r.column).Times
	order := make([]int, 0, t.NumRows())
	for i, us := range times {
		if us != table.NoTime && !t.Column(r.target).Missing(i) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(times[a], times[b]) })
	t = t.Take(order)
	times = t.Column(r.column).Times
	first := times[0] - times[0]%(24*3600*1e6)
	bounds := []int{0}
	for i, us := range times {
		for us >= first+int64(len(bounds))*period {
			bounds = append(bounds, i)
		}
	}
	bounds = append(bounds, len(times))
	n := len(bounds) - 1
	begin := n * 2 / 5
	train := filepath.Join(r.root, "train.csv")
	if err := table.Write(train, t.Slice(0, bounds[begin])); err != nil {
		return err
	}
	at := func(k int) string { return time.UnixMicro(first + int64(k)*period).UTC().Format(time.RFC3339) }
	if _, err := r.healmlOK(at(begin), nil, "init", train, "--target", r.target, "--time", r.column, "--drop", r.drop); err != nil {
		return err
	}
	trained, err := r.healmlOK(at(begin), nil, "train", "-o", "json")
	if err != nil {
		return err
	}
	var v struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(trained, &v); err != nil {
		return err
	}
	var before *table.Table
	for k := begin; k < n; k++ {
		lo, hi := bounds[k], bounds[k+1]
		if lo == hi {
			continue
		}
		if before, err = r.live(at(k+1), t.Slice(lo, hi), lo, v.Version, before); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "\r%s  static %.4f  healed %.4f  promoted %d ", at(k + 1)[:10], r.static/r.rows, r.healed/r.rows, r.promoted)
	}
	fmt.Fprintln(os.Stderr)
	return nil
}

// live is one period: predict, tell the truth of the period before, drift,
// retrain. It returns this period's truth.
func (r *replay) live(now string, rows *table.Table, at int, static string, before *table.Table) (*table.Table, error) {
	ids := make([]string, rows.NumRows())
	for i := range ids {
		ids[i] = fmt.Sprint("row-", at+i)
	}
	id := table.Strings("prediction_id", ids)
	input, err := rows.Drop(r.target).With(id)
	if err != nil {
		return nil, err
	}
	batch := filepath.Join(r.root, "batch.csv")
	if err := table.Write(batch, input); err != nil {
		return nil, err
	}
	truth := rows.Column(r.target)
	healed, err := r.predict(now, batch, "--log")
	if err != nil {
		return nil, err
	}
	still, err := r.predict(now, batch, "--version", static)
	if err != nil {
		return nil, err
	}
	for i := range ids {
		r.healed += r.metric(truth.Floats[i], healed.Floats[i])
		r.static += r.metric(truth.Floats[i], still.Floats[i])
	}
	r.rows += float64(len(ids))
	if before != nil {
		actuals := filepath.Join(r.root, "actuals.csv")
		if err := table.Write(actuals, before); err != nil {
			return nil, err
		}
		if _, err := r.healmlOK(now, nil, "actuals", actuals); err != nil {
			return nil, err
		}
	}
	if err := r.jobs(now); err != nil {
		return nil, err
	}
	return table.New(id, truth)
}

func (r *replay) jobs(now string) error {
	code, _, err := r.command(now, "drift", "-o", "json")
	if err != nil {
		return err
	}
	if code == 10 {
		r.drifted++
	} else if code != 0 {
		return fmt.Errorf("drift ended with %d", code)
	}
	out, err := r.healmlOK(now, []int{11}, "retrain", "-o", "json")
	if err != nil {
		return err
	}
	var in struct {
		Promoted bool  `json:"promoted"`
		Trials   []any `json:"trials"`
	}
	if err := json.Unmarshal(out, &in); err != nil {
		return err
	}
	if in.Promoted {
		r.promoted++
	}
	if len(in.Trials) > 0 {
		r.acted++
	}
	return nil
}

func (r *replay) predict(now, batch string, more ...string) (*table.Column, error) {
	out := filepath.Join(r.root, "predicted.csv")
	if _, err := r.healmlOK(now, nil, append([]string{"predict", batch, "--out", out}, more...)...); err != nil {
		return nil, err
	}
	t, err := table.Read(out, table.ReadOptions{})
	if err != nil {
		return nil, err
	}
	return t.Column("predicted_" + r.target), nil
}

// healmlOK runs a command that must end with 0 or one of codes.
func (r *replay) healmlOK(now string, codes []int, args ...string) ([]byte, error) {
	code, out, err := r.command(now, args...)
	if err != nil {
		return nil, err
	}
	if code != 0 && !slices.Contains(codes, code) {
		return nil, fmt.Errorf("healml %s ended with %d", strings.Join(args, " "), code)
	}
	return out, nil
}

func (r *replay) command(now string, args ...string) (code int, stdout []byte, err error) {
	cmd := exec.Command(r.healml, append([]string{"--root", r.root, "--now", now, "--quiet"}, args...)...)
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if c := exit.ExitCode(); c != 10 && c != 11 {
			fmt.Fprint(os.Stderr, msg.String())
		}
		return exit.ExitCode(), out.Bytes(), nil
	}
	return 0, out.Bytes(), err
}
