// Command infer times predictions from a LightGBM text model: the load, single
// rows, and batches on one thread and on two.
//
//	go run ./scripts/bench/infer bench --model model.txt --rows rows.f32 \
//	    --nrows 100000 --ncol 28 --pred predictions.f64
//
// The file of rows holds nrows×ncol float32, little-endian and row-major. One
// JSON object a line is printed, and what the first 10,000 rows give is
// written to --pred (float64), so that another engine's answers can be laid
// beside them.
//
//   - load: milliseconds from the file to the first prediction;
//   - row: microseconds a row, each of the first 10,000 rows ten times between
//     two readings of the clock, then five times in a loop without;
//   - batch: rows a second, the median of seven, for 1,000 and 100,000 rows.
package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/gbdt"
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "bench" {
		fmt.Fprintln(os.Stderr, "usage: infer bench --model FILE --rows FILE --nrows N --ncol N --pred FILE")
		os.Exit(2)
	}
	if err := run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "infer:", err)
		os.Exit(1)
	}
}

// bench is a model with the rows that it is timed on.
type bench struct {
	predictor *gbdt.Predictor
	rows      []float64
	n, width  int
	out       []float64 // of all rows
}

func run(args []string) error {
	f := flag.NewFlagSet("infer bench", flag.ExitOnError)
	model := f.String("model", "", "LightGBM text model")
	rows := f.String("rows", "", "rows, float32")
	n := f.Int("nrows", 100_000, "number of rows")
	width := f.Int("ncol", 0, "values of a row")
	pred := f.String("pred", "", "file for the predictions")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *n < 1 || *width < 1 {
		return errors.New("--nrows and --ncol: expected at least 1")
	}
	b := bench{n: *n, width: *width}
	if err := b.readRows(*rows); err != nil {
		return err
	}
	load, err := b.load(*model)
	if err != nil {
		return err
	}
	if err := b.writeFirst(*pred); err != nil {
		return err
	}
	report := json.NewEncoder(os.Stdout)
	if err := errors.Join(report.Encode(load), report.Encode(b.timeRows())); err != nil {
		return err
	}
	for _, threads := range []int{1, 2} {
		for _, size := range []int{1_000, 100_000} {
			if size <= b.n {
				if err := report.Encode(b.timeBatches(threads, size)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *bench) readRows(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(raw) != 4*b.n*b.width {
		return fmt.Errorf("%s: %d bytes, expected %d rows of %d float32", path, len(raw), b.n, b.width)
	}
	b.rows = make([]float64, b.n*b.width)
	for i := range b.rows {
		b.rows[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
	}
	return nil
}

type load struct {
	What string  `json:"what"`
	MS   float64 `json:"load_to_first_pred_ms"`
}

// load reads the model and predicts the first row.
func (b *bench) load(path string) (load, error) {
	start := time.Now()
	text, err := os.ReadFile(path)
	if err != nil {
		return load{}, err
	}
	m, err := gbdt.ReadText(path, text)
	if err != nil {
		return load{}, err
	}
	if b.predictor, err = gbdt.NewPredictor(m); err != nil {
		return load{}, err
	}
	if b.predictor.NumFeatures() != b.width {
		return load{}, fmt.Errorf("%s: the model has %d features, the rows have %d", path, b.predictor.NumFeatures(), b.width)
	}
	b.out = make([]float64, b.n*b.predictor.NumOutputs())
	b.row(0)
	return load{"load", float64(time.Since(start).Nanoseconds()) / 1e6}, nil
}

// row predicts row i.
func (b *bench) row(i int) {
	k := b.predictor.NumOutputs()
	b.predictor.Predict(b.out[i*k:(i+1)*k], b.rows[i*b.width:(i+1)*b.width])
}

// single is the number of rows that are predicted one by one.
func (b *bench) single() int { return min(b.n, 10_000) }

func (b *bench) writeFirst(path string) error {
	for i := range b.single() {
		b.row(i)
	}
	var bytes []byte
	for _, v := range b.out[:b.single()*b.predictor.NumOutputs()] {
		bytes = binary.LittleEndian.AppendUint64(bytes, math.Float64bits(v))
	}
	return durable.WriteFile(path, bytes)
}

type rowTimes struct {
	What  string  `json:"what"`
	P50   float64 `json:"p50_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p999_us"`
	Loop  float64 `json:"loop_mean_us"`
	Clock float64 `json:"clock_ns"`
	Calls int     `json:"calls"`
}

func (b *bench) timeRows() rowTimes {
	const passes, loops, clocks = 10, 5, 100_000
	start := time.Now()
	took := make([]time.Duration, 0, passes*b.single())
	for range passes {
		for i := range b.single() {
			from := time.Since(start)
			b.row(i)
			took = append(took, time.Since(start)-from)
		}
	}
	from := time.Since(start)
	for range loops {
		for i := range b.single() {
			b.row(i)
		}
	}
	loop := time.Since(start) - from
	from = time.Since(start)
	for range clocks {
		_ = time.Since(start)
	}
	clock := time.Since(start) - from
	slices.Sort(took)
	quantile := func(thousandths int) float64 { return micros(took[len(took)*thousandths/1000]) }
	return rowTimes{"row", quantile(500), quantile(990), quantile(999),
		micros(loop) / float64(loops*b.single()), 1e3 * micros(clock) / clocks, len(took)}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

type batchRates struct {
	What    string  `json:"what"`
	Threads int     `json:"threads"`
	Rows    int     `json:"rows"`
	Rate    float64 `json:"rows_per_s"`
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
}

// timeBatches predicts size rows at a time, small batches from here and there
// in the table.
func (b *bench) timeBatches(threads, size int) batchRates {
	repeats := 1
	if size == 1_000 {
		repeats = 50
	}
	k := b.predictor.NumOutputs()
	batch := func(i int) {
		at := i * size % (b.n - size + 1)
		b.predictor.PredictRows(b.out[:size*k], b.rows[at*b.width:(at+size)*b.width], threads)
	}
	batch(0)
	rates := make([]float64, 7)
	for r := range rates {
		start := time.Now()
		for i := range repeats {
			batch(i)
		}
		rates[r] = float64(repeats*size) / time.Since(start).Seconds()
	}
	slices.Sort(rates)
	return batchRates{"batch", threads, size, rates[3], rates[0], rates[6]}
}
