// Command predlog makes logs of any size and times what is done to them: see
// scripts/bench/log.py, which runs it beside the references.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/schema"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "predlog:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: predlog fill|truth|seal|append|join|stat|day DIR [flags]")
	}
	var o options
	f := flag.NewFlagSet("predlog", flag.ContinueOnError)
	f.IntVar(&o.rows, "rows", 1_000_000, "rows to make")
	f.IntVar(&o.days, "days", 1, "days that they are spread over")
	f.IntVar(&o.writers, "writers", 1, "goroutines that append")
	f.DurationVar(&o.length, "for", 5*time.Second, "how long to append")
	f.StringVar(&o.actuals, "actuals", "", "the log of actuals to join")
	f.StringVar(&o.out, "out", "", "where the join goes")
	f.StringVar(&o.version, "version", "v0001-0badc0de", "model version of the rows made")
	f.BoolVar(&o.floor, "floor", false, "append 200 bytes a row to a bare file instead")
	if len(args) < 2 {
		return fmt.Errorf("%s: which directory?", args[0])
	}
	if err := f.Parse(args[2:]); err != nil {
		return err
	}
	jobs := map[string]func(string, options) (any, error){"fill": fill, "truth": truth, "seal": seal, "append": appends, "join": join, "stat": stat, "day": lastDay}
	job := jobs[args[0]]
	if job == nil {
		return fmt.Errorf("no job %q", args[0])
	}
	if args[0] != "append" {
		debug.SetGCPercent(50) // as healml log does
	}
	begin := time.Now()
	result, err := job(args[1], o)
	if err != nil {
		return err
	}
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"seconds": time.Since(begin).Seconds(), "rss_mb": float64(use.Maxrss) / 1024, "result": result,
	})
}

type options struct {
	rows, days, writers int
	length              time.Duration
	floor               bool
	actuals, out        string
	version             string
}

// start is the time of the first row made.
var start = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

const batch = 1000

// world draws rows of the shipped example's shape.
type world struct {
	layout predlog.Layout
	step   int64 // µs between rows
}

func newWorld(rows, days int) *world {
	return &world{
		layout: predlog.Layout{Target: "sales", Columns: []predlog.LayoutColumn{
			{Name: "date", Kind: schema.Time}, {Name: "category", Kind: schema.Categorical}, {Name: "region", Kind: schema.Categorical},
			{Name: "price", Kind: schema.Numeric}, {Name: "promo", Kind: schema.Numeric}, {Name: "client_id", Kind: schema.Text},
		}},
		step: max(1, int64(days)*24*3600*1_000_000/int64(max(rows, 1))),
	}
}

var (
	categories = []string{"Electronics", "Clothing", "Grocery", "Toys", "Garden"}
	regions    = []string{"North", "South", "East", "West"}
)

// id is that of row i: a UUID of version 7 whose random part follows from i.
func (w *world) id(i int) string {
	ms := uint64(w.at(i)) / 1000
	r := rand.NewPCG(uint64(i), 7)
	a, b := r.Uint64(), r.Uint64()
	return fmt.Sprintf("%08x-%04x-7%03x-%04x-%012x", ms>>16, ms&0xffff, a&0xfff, 0x8000|a>>12&0x3fff, b&0xffffffffffff)
}

func (w *world) at(i int) int64 { return start.UnixMicro() + int64(i)*w.step }

func (w *world) record(r *predlog.Record, i int) {
	n := len(w.layout.Columns)
	if r.Values == nil {
		r.Values, r.Texts, r.Outputs = make([]float64, n), make([]string, n), make([]float64, 1)
	}
	rng := rand.New(rand.NewPCG(uint64(i), 8))
	r.ID, r.At = w.id(i), w.at(i)
	r.Values[0] = float64(start.UnixMicro() + int64(i%365)*24*3600*1_000_000)
	r.Texts[1], r.Texts[2] = categories[rng.IntN(len(categories))], regions[rng.IntN(len(regions))]
	r.Values[3] = float64(rng.IntN(100_000)) / 100
	r.Values[4] = float64(rng.IntN(2))
	r.Texts[5] = fmt.Sprintf("c%05d", rng.IntN(20_000))
	r.Outputs[0] = 30 + 10*rng.NormFloat64()
	r.Flags = uint32(rng.IntN(50) / 49)
}

// fill logs rows as a server would, without waiting for the disk.
func fill(dir string, o options) (any, error) {
	w := newWorld(o.rows, o.days)
	log, err := predlog.OpenWriter(dir, predlog.WriterOptions{Now: time.Now, Durability: predlog.Interval, SyncEvery: time.Hour, MaxBytes: 32 << 20})
	if err != nil {
		return nil, err
	}
	recs := make([]predlog.Record, batch)
	for lo := 0; lo < o.rows; lo += batch {
		n := min(batch, o.rows-lo)
		for k := range n {
			w.record(&recs[k], lo+k)
			recs[k].Version = o.version
		}
		for {
			err := log.Append(context.Background(), &w.layout, recs[:n])
			if err == nil {
				break
			}
			if !errors.Is(err, predlog.ErrBusy) {
				return nil, err
			}
			time.Sleep(time.Millisecond)
		}
	}
	return log.Stats(), log.Close()
}

// truth logs an actual for each row, in an order that has nothing to do with
// theirs.
func truth(dir string, o options) (any, error) {
	w := newWorld(o.rows, o.days)
	log, err := predlog.OpenActualsWriter(dir, predlog.WriterOptions{Now: time.Now, Durability: predlog.Interval, SyncEvery: time.Hour, MaxBytes: 32 << 20})
	if err != nil {
		return nil, err
	}
	as := make([]predlog.Actual, 0, batch)
	for lo := range o.rows {
		i := shuffled(lo, o.rows)
		as = append(as, predlog.Actual{ID: w.id(i), Value: fmt.Sprintf("%.2f", 30+10*rand.New(rand.NewPCG(uint64(i), 9)).NormFloat64()), At: w.at(o.rows) + int64(lo), Source: "bench"})
		if len(as) < batch && lo+1 < o.rows {
			continue
		}
		for {
			err := log.Append(context.Background(), as)
			if err == nil {
				break
			}
			if !errors.Is(err, predlog.ErrBusy) {
				return nil, err
			}
			time.Sleep(time.Millisecond)
		}
		as = as[:0]
	}
	return log.Stats(), log.Close()
}

// shuffled maps 0…n−1 onto themselves out of order: a Feistel network over the
// next power of four, walked until it lands below n.
func shuffled(i, n int) int {
	half := 1
	for 1<<(2*half) < n {
		half++
	}
	mask := uint64(1)<<half - 1
	x := uint64(i)
	for {
		l, r := x>>half, x&mask
		for round := range uint64(4) {
			l, r = r, l^((r*0x9e3779b97f4a7c15+round*0xbf58476d1ce4e5b9)>>29)&mask
		}
		if x = l<<half | r; x < uint64(n) {
			return int(x)
		}
	}
}

// seal turns the log's segments into Parquet.
func seal(dir string, _ options) (any, error) {
	return predlog.Seal(dir, time.Time{}, predlog.SealOptions{Leftovers: true})
}

// join writes all predictions with their actuals to one file.
func join(dir string, o options) (any, error) {
	s, err := predlog.OpenStream(dir, o.actuals, predlog.StreamOptions{Task: schema.Regression, To: math.MaxInt64, Now: math.MaxInt64, Temp: filepath.Dir(o.out)})
	if err != nil {
		return nil, err
	}
	return s.Stats, errors.Join(s.Export(o.out), s.Close())
}

// stat is healml log stat.
func stat(dir string, _ options) (any, error) { return predlog.Stat(dir) }

// lastDay reads the newest day, as healml drift does.
func lastDay(dir string, _ options) (any, error) {
	s, err := predlog.Stat(dir)
	if err != nil {
		return nil, err
	}
	from, err := time.Parse(time.DateOnly, s.LastDay)
	if err != nil {
		return nil, err
	}
	t, stats, err := predlog.Read(dir, from.UnixMicro(), from.AddDate(0, 0, 1).UnixMicro(), predlog.ReadOptions{})
	if err != nil {
		return nil, err
	}
	return map[string]any{"day": s.LastDay, "rows": t.NumRows(), "files": stats.Files}, nil
}

// appends logs single rows from several goroutines, each waiting until its row
// is on disk.
func appends(dir string, o options) (any, error) {
	write, stop, err := sink(dir, o)
	if err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	counts := make([]int, o.writers)
	errs := make([]error, o.writers)
	until := time.Now().Add(o.length)
	for g := range o.writers {
		wg.Go(func() {
			one := write()
			for time.Now().Before(until) {
				if errs[g] = one(); errs[g] != nil {
					return
				}
				counts[g]++
			}
		})
	}
	wg.Wait()
	n := 0
	for g := range counts {
		n += counts[g]
		if errs[g] != nil {
			return nil, errs[g]
		}
	}
	return map[string]any{"rows_per_s": float64(n) / o.length.Seconds()}, stop()
}

// sink returns what makes each goroutine's appender.
func sink(dir string, o options) (write func() func() error, stop func() error, err error) {
	if o.floor {
		return bareFile(dir)
	}
	w := newWorld(o.rows, 1)
	log, err := predlog.OpenWriter(dir, predlog.WriterOptions{Now: time.Now, MaxBytes: 32 << 20})
	if err != nil {
		return nil, nil, err
	}
	return func() func() error {
		recs := make([]predlog.Record, 1)
		w.record(&recs[0], rand.IntN(1_000_000))
		recs[0].Version = o.version
		return func() error { return log.Append(context.Background(), &w.layout, recs) }
	}, log.Close, nil
}

// bareFile is the least that keeps the promise: what waits is written in one
// call, synced once, and answered.
func bareFile(dir string) (write func() func() error, stop func() error, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "floor"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, nil, err
	}
	queue := make(chan chan error, 1024)
	go func() {
		row := make([]byte, 200)
		var waiting []chan error
		var buf []byte
		for first := range queue {
			waiting, buf = append(waiting[:0], first), append(buf[:0], row...)
		drain:
			for len(waiting) < cap(queue) {
				select {
				case c := <-queue:
					waiting, buf = append(waiting, c), append(buf, row...)
				default:
					break drain
				}
			}
			_, err := f.Write(buf)
			if err == nil {
				err = f.Sync()
			}
			for _, c := range waiting {
				c <- err
			}
		}
	}()
	return func() func() error {
		done := make(chan error, 1)
		return func() error {
			queue <- done
			return <-done
		}
	}, f.Close, nil
}
