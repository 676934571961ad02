package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/predlog"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/retrain"
	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
)

// kills is how often a test kills, unless HEALML_KILLS says otherwise.
func kills(t *testing.T, usual, short int) int {
	t.Helper()
	if s := os.Getenv("HEALML_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("HEALML_KILLS is %q, expected a number", s)
		}
		return n
	}
	if testing.Short() {
		return short
	}
	return usual
}

// forever is later than any row.
const forever = int64(1) << 60

// logged counts how often each id stands in the prediction log, which must be
// free of damage.
func logged(t *testing.T, root string) map[string]int {
	t.Helper()
	rows, stats, err := predlog.Read(filepath.Join(root, "data", "predictions"), 0, forever, predlog.ReadOptions{Columns: []string{predlog.ColumnID}})
	if err != nil || len(stats.Findings) > 0 {
		t.Fatalf("read log: %v %v", err, stats.Findings)
	}
	return counted(rows)
}

func counted(rows *table.Table) map[string]int {
	n := map[string]int{}
	if c := rows.Column(predlog.ColumnID); c != nil {
		for i := range c.Len() {
			n[c.Text(i)]++
		}
	}
	return n
}

// once fails unless each of ids is counted once.
func once(t *testing.T, where string, count map[string]int, ids []string) {
	t.Helper()
	for _, id := range ids {
		if count[id] != 1 {
			t.Fatalf("%s is %d times in %s, expected once", id, count[id], where)
		}
	}
}

var recoveredLine = regexp.MustCompile(`it was recovered" rows=(\d+) torn_bytes=(\d+)`)

// TestKillServeUnderLoad kills the server again and again while clients ask.
// Whatever it acknowledged is in the log, once.
func TestKillServeUnderLoad(t *testing.T) {
	const clients = 4
	rounds := kills(t, 50, 10)
	root, _ := shop(t, 60)
	rng := rand.New(rand.NewPCG(7, 7))
	var all []string
	var recovered, torn, last int
	for range rounds {
		s := serveOn(t, root)
		if m := recoveredLine.FindStringSubmatch(s.stderr.String()); m != nil {
			rows, _ := strconv.Atoi(m[1])  // digits
			bytes, _ := strconv.Atoi(m[2]) // digits
			if rows < last {
				t.Fatalf("%d rows were recovered, %d were acknowledged before the kill", rows, last)
			}
			if n := s.metric(t, "healml_log_torn_bytes_total"); int(n) != bytes {
				t.Errorf("the metric shows %v torn bytes, the log %d", n, bytes)
			}
			recovered, torn = recovered+rows, torn+bytes
		} else if last > 0 {
			t.Fatalf("%d rows were acknowledged before the kill, and none is said to be recovered:\n%s", last, s.stderr.String())
		}
		ids := loadUntilKilled(t, s, clients, 100*time.Millisecond+time.Duration(rng.Int64N(int64(100*time.Millisecond))))
		all, last = append(all, ids...), len(ids)
	}
	if t.Failed() {
		return
	}
	once(t, "the log", logged(t, root), all)
	check := func(name string) {
		healml(t, root, nil, "log", "export", "--out", name)
		rows, err := table.Read(filepath.Join(root, name), table.ReadOptions{Types: map[string]table.Type{predlog.ColumnID: table.String}})
		if err != nil {
			t.Fatal(err)
		}
		once(t, name, counted(rows), all)
	}
	check("before.csv")
	healml(t, root, nil, "log", "compact")
	check("after.parquet")
	healml(t, root, nil, "log", "verify")
	t.Logf("%d kills: %d answers acknowledged, all logged once; %d rows recovered, %d torn bytes cut", rounds, len(all), recovered, torn)
}

// loadUntilKilled asks s from several clients for so long, kills it under
// them, and returns the ids of the answers that arrived.
func loadUntilKilled(t *testing.T, s *server, clients int, long time.Duration) []string {
	t.Helper()
	var killed atomic.Bool
	got := make([][]string, clients)
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for i := c; ; i++ {
				a, err := ask(client, s.url, rowsJSON[i%2])
				if err != nil {
					if !killed.Load() {
						t.Errorf("a request failed before the kill: %v", err)
					}
					return
				}
				got[c] = append(got[c], a.ID)
			}
		})
	}
	time.Sleep(long)
	killed.Store(true)
	s.kill()
	group.Wait()
	return slices.Concat(got...)
}

// victim is a root whose jobs are killed.
type victim struct {
	root  string
	base  string // the version that was in force first
	reg   *registry.Registry
	sales *table.Table // logged rows, with their ids and the truth
}

// TestKillJobs kills every job at random moments. Nothing half-written is ever
// visible, and the next run just works and clears what the killed one left.
func TestKillJobs(t *testing.T) {
	n := kills(t, 10, 3)
	for _, job := range []struct {
		name string
		run  func(t *testing.T, v *victim, i int) (args []string, settled func())
	}{
		{"train", killTrain}, {"predict", killPredict}, {"actuals", killActuals},
		{"drift", killDrift}, {"retrain", killRetrain}, {"compact", killCompact},
	} {
		t.Run(job.name, func(t *testing.T) {
			v := newVictim(t)
			run := func(args []string) time.Duration {
				begin := time.Now()
				healml(t, v.root, []int{exitDrift, exitRejected}, args...)
				return time.Since(begin)
			}
			args, settled := job.run(t, v, 0)
			whole := run(args)
			settled()
			rng := rand.New(rand.NewPCG(11, uint64(len(job.name))))
			hit := 0
			for i := 1; i <= n; i++ {
				args, settled = job.run(t, v, i)
				p := start(t, v.root, nil, args...)
				time.Sleep(whole/4 + time.Duration(rng.Int64N(int64(whole)))) // what is written is written late
				p.kill()
				if !p.cmd.ProcessState.Exited() {
					hit++
				}
				v.verify(t)
				whole = min(whole, run(args))
				v.verify(t)
				settled()
				v.swept(t, v.data("state"), v.data("reports"), v.data("incidents"), v.reg.Dir())
			}
			healml(t, v.root, nil, "log", "compact") // batches are written without a lock: it sweeps after them
			v.swept(t, v.data())
			if hit == 0 && n >= 10 {
				t.Errorf("every run ended before its kill; a whole one takes %v", whole)
			}
			t.Logf("%d of %d runs killed within %v", hit, n, whole.Round(time.Millisecond))
		})
	}
}

// newVictim is a shop with a version in force, logged predictions of the days
// after its training, and their truth: sales have doubled since.
func newVictim(t *testing.T) *victim {
	t.Helper()
	const days, later, perDay = 60, 20, 20
	root, base := shop(t, days)
	v := &victim{root: root, base: base, reg: registry.Open(filepath.Join(root, "exported_model"))}
	sales, _ := synth.Sales(1, synth.Options{Days: days + later, Still: true})
	v.sales = sales.Slice(days*perDay, sales.NumRows())
	truth := v.sales.Column("sales")
	for i := range truth.Floats {
		truth.Floats[i] *= 2
	}
	v.write(t, "rows.csv", "first", v.sales.Drop("sales"))
	healml(t, root, nil, "predict", "rows.csv", "--log", "--out", "scored.csv")
	v.write(t, "truth.csv", "first", table.Must(truth))
	healml(t, root, nil, "actuals", "truth.csv")
	return v
}

// write writes rows with the ids <lead>-<row> and returns the ids.
func (v *victim) write(t *testing.T, name, lead string, rows *table.Table) []string {
	t.Helper()
	ids := make([]string, rows.NumRows())
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%d", lead, i)
	}
	rows, err := rows.With(table.Strings(predlog.ColumnID, ids))
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Write(filepath.Join(v.root, name), rows); err != nil {
		t.Fatal(err)
	}
	return ids
}

func (v *victim) data(parts ...string) string {
	return filepath.Join(append([]string{v.root, "data"}, parts...)...)
}

// verify reads all that is visible.
func (v *victim) verify(t *testing.T) {
	t.Helper()
	versions, err := v.reg.Versions()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range versions {
		if err := v.reg.Verify(name); err != nil {
			t.Fatal(err)
		}
	}
	current, err := v.reg.Current()
	if err != nil || !slices.Contains(versions, current) {
		t.Fatalf("CURRENT names %q of %v: %v", current, versions, err)
	}
	if _, err := v.reg.History(); err != nil {
		t.Fatal(err)
	}
	reports, err := monitor.ListReports(v.data("reports"))
	for _, id := range reports {
		if _, err := monitor.ReadReport(v.data("reports"), id); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"report.html", "report.parquet"} {
			if _, err := os.Stat(v.data("reports", id, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	incidents, err2 := retrain.List(v.data("incidents"))
	for _, id := range incidents {
		if _, err := retrain.Read(v.data("incidents"), id); err != nil {
			t.Fatal(err)
		}
	}
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	for _, log := range []string{"predictions", "actuals"} {
		if s, err := predlog.Verify(v.data(log)); err != nil || len(s.Findings) > 0 {
			t.Fatalf("%s: %v %v", log, err, s.Findings)
		}
	}
}

// swept fails when a temporary file is left anywhere in dirs.
func (v *victim) swept(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && durable.IsTemp(e.Name()) {
				t.Errorf("%s is left of a killed run", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestSweep puts the leavings of a dead process wherever one can die, and runs
// the command that sweeps there.
func TestSweep(t *testing.T) {
	v := newVictim(t)
	today := "date=" + time.Now().UTC().Format("2006-01-02")
	for _, place := range []struct {
		dir  string
		args []string
	}{
		{v.reg.Dir(), []string{"models", "promote", v.base}},
		{filepath.Join(v.reg.Dir(), "history"), []string{"models", "promote", v.base}},
		{v.data("state"), []string{"models", "prune"}},
		{v.data("reports"), []string{"drift"}},
		{v.data("incidents"), []string{"retrain"}},
		{v.data("predictions", today), []string{"log", "compact"}},
		{v.data("actuals", today), []string{"log", "compact"}},
	} {
		dead := filepath.Join(place.dir, ".tmp-999999999-0123abcd1") // beyond any process id
		if err := os.MkdirAll(filepath.Join(dead, "below"), 0o755); err != nil {
			t.Fatal(err)
		}
		healml(t, v.root, []int{exitDrift, exitRejected}, place.args...)
		v.swept(t, place.dir)
	}
}

func killTrain(t *testing.T, v *victim, i int) ([]string, func()) {
	return []string{"train", "sales.csv", "--target", "sales", "--set", fmt.Sprintf("num_iterations=%d", 20+i)}, func() {}
}

func killPredict(t *testing.T, v *victim, i int) ([]string, func()) {
	ids := v.write(t, "more.csv", fmt.Sprintf("more%d", i), v.sales.Drop("sales"))
	return []string{"predict", "more.csv", "--log", "--out", "scored.csv"}, func() { once(t, "the log", logged(t, v.root), ids) }
}

func killActuals(t *testing.T, v *victim, i int) ([]string, func()) {
	truth := *v.sales.Column("sales")
	truth.Floats = slices.Clone(truth.Floats)
	truth.Floats[0] = float64(i) // another file each time
	v.write(t, "more.csv", "first", table.Must(&truth))
	return []string{"actuals", "more.csv"}, func() {
		rows, _, err := predlog.ReadActuals(v.data("actuals"), 0, forever, predlog.ReadOptions{})
		if want := (i + 2) * truth.Len(); err != nil || rows.NumRows() != want {
			t.Fatalf("%d actuals are in the log, expected %d: %v", rows.NumRows(), want, err)
		}
	}
}

func killDrift(t *testing.T, v *victim, i int) ([]string, func()) {
	now := time.Now().Add(time.Duration(i) * time.Second).UTC().Format(time.RFC3339) // names the report
	return []string{"drift", "--now", now}, func() {
		if ids, err := monitor.ListReports(v.data("reports")); err != nil || len(ids) != i+1 {
			t.Fatalf("%d reports of %d times: %v", len(ids), i+1, err)
		}
	}
}

func killRetrain(t *testing.T, v *victim, i int) ([]string, func()) {
	if err := v.reg.Promote(v.base, "once more", time.Now()); err != nil {
		t.Fatal(err)
	}
	return []string{"retrain", "--force"}, func() {
		current, err := v.reg.Current()
		if err != nil || current == v.base {
			t.Fatalf("nothing was healed: %s is in force, %v", current, err)
		}
		d, err := v.reg.Show(current)
		if err != nil {
			t.Fatal(err)
		}
		in, err := retrain.Read(v.data("incidents"), d.Manifest.Lineage.Incident)
		if err != nil || !in.Promoted {
			t.Errorf("%s is in force, its incident is %+v: %v", current, in, err)
			return
		}
		if differs, err := retrain.Replay(v.data("incidents"), in.ID); err != nil || len(differs) > 0 {
			t.Errorf("%s does not replay: %v, %v", in.ID, differs, err)
		}
		healml(t, v.root, nil, "models", "verify")
	}
}

// killCompact leaves closed segments of three days behind and one file to
// merge them with.
func killCompact(t *testing.T, v *victim, i int) ([]string, func()) {
	t.Helper()
	loaded, err := v.reg.Load(v.base)
	if err != nil {
		t.Fatal(err)
	}
	layout := predlog.LayoutOf(loaded.Model.Template)
	var ids []string
	for segment := range 3 {
		w, err := predlog.OpenWriter(v.data("predictions"), predlog.WriterOptions{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		var records []predlog.Record
		for r := range 300 {
			id := fmt.Sprintf("seg%d-%d-%d", i, segment, r)
			ids = append(ids, id)
			records = append(records, predlog.Record{
				ID: id, Version: v.base, At: time.Now().AddDate(0, 0, -r%3).UnixMicro(), Outputs: []float64{float64(r)},
				Values: make([]float64, len(layout.Columns)), Texts: slices.Repeat([]string{"x"}, len(layout.Columns)),
			})
		}
		if err := w.Append(context.Background(), layout, records); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"log", "compact"}, func() {
		once(t, "the log", logged(t, v.root), ids)
		if s, err := predlog.Stat(v.data("predictions")); err != nil || s.Segments+s.Open+s.Quarantined > 0 {
			t.Fatalf("not compacted: %+v %v", s, err)
		}
	}
}
