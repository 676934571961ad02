package predlog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// The streamed join is a hash join in parts (Kitsuregawa et al. 1983, "Grace"):
//
//	actuals ──► parts by id ─┐
//	                         ├─► part by part: the newest actual of each id ─► results by row
//	ids of predictions ──────┘                                                     │
//	predictions, read again ───────────────────────────────────────────────────────┴─► visit
//
// Records are of fixed width and go to temporary files beyond some megabytes,
// so that memory depends on the largest file of the log and on a part of the
// actuals, of which there are more the more actuals there are. Both logs are
// held open, so that the second reading meets what the first one did.

// StreamOptions say what OpenStream joins.
type StreamOptions struct {
	Task schema.Task
	// From and To bound the predictions, From the actuals too: from ≤ time <
	// to, in microseconds since 1970 UTC. Actuals are taken up to Now.
	From, To, Now int64
	// Columns are those of [ReadOptions], of the predictions.
	Columns []string
	// Temp is the directory for temporary files, made when they are needed;
	// "" is the operating system's.
	Temp string
}

// StreamStats say what a streamed join met.
type StreamStats struct {
	JoinStats
	// LagMedian and Lag90 are quantiles of the time from a prediction to its
	// newest actual, in microseconds; 0 when nothing matched. They are exact
	// to 1 part in 16.
	LagMedian int64     `json:"lag_median_us"`
	Lag90     int64     `json:"lag_p90_us"`
	Findings  []Finding `json:"findings"` // what could not be read
}

// Stream is a joined reading of both logs, ready to be passed on.
type Stream struct {
	Stats StreamStats

	o       StreamOptions
	preds   *snapshot
	actuals *snapshot
	temp    tempDir
	byID    *spill // of actuals
	asked   *spill // of predictions
	results *spill // by row
	labels  texts
	sources texts
	parts   int // a power of two
	rows    uint64
	ranks   []uint64 // of the segments of actuals, in the order of their names
	lag     lagHistogram
}

const (
	leastParts  = 64
	mostParts   = 256
	partRows    = 256 << 10          // aimed at
	actualWidth = 16 + 8 + 8 + 8 + 4 // key, time, order, value, source
	askedWidth  = 16 + 8 + 8         // key, row, time
	resultWidth = 4 + 8 + 4 + 8      // row in its range, value, source, time
	resultRange = 1 << 19

	actualAt     = 16
	actualOrder  = 24
	actualValue  = 32
	actualSource = 40
)

// OpenStream joins the logs in predictions and actuals; [Stream.Each] passes
// the rows on. The caller closes it.
func OpenStream(predictionsDir, actualsDir string, o StreamOptions) (s *Stream, err error) {
	s = &Stream{o: o}
	s.temp.parent = o.Temp
	defer func() {
		if err != nil {
			s.Close()
			s = nil
		}
	}()
	if s.preds, err = hold(predictionsDir, predictions, o.From, o.To); err != nil {
		return s, err
	}
	if s.actuals, err = hold(actualsDir, actuals, o.From, o.Now); err != nil {
		return s, err
	}
	s.parts = partsFor(max(s.actuals.bytes(), s.preds.bytes()/3))
	s.byID = newSpill("actuals", actualWidth, s.parts, s.temp.get)
	s.asked = newSpill("ids", askedWidth, s.parts, s.temp.get)
	if err = s.takeActuals(); err == nil {
		err = s.takeIDs()
	}
	if err == nil {
		s.results = newSpill("rows", resultWidth, int(s.rows/resultRange)+1, s.temp.get)
		err = s.match()
	}
	if err != nil {
		return s, fmt.Errorf("join logs: %w", err)
	}
	s.Stats.Predictions = int(s.rows)
	if s.rows > 0 {
		s.Stats.Coverage = float64(s.Stats.Matched) / float64(s.rows)
	}
	s.Stats.LagMedian, s.Stats.Lag90 = s.lag.quantile(0.5), s.lag.quantile(0.9)
	return s, nil
}

// Close gives up files, temporary ones included.
func (s *Stream) Close() error {
	for _, snap := range []*snapshot{s.preds, s.actuals} {
		if snap != nil {
			snap.close()
		}
	}
	for _, sp := range []*spill{s.byID, s.asked, s.results} {
		if sp != nil {
			sp.close()
		}
	}
	return s.temp.remove()
}

// tempDir is a directory that is made when it is first asked for.
type tempDir struct {
	parent string
	once   sync.Once
	path   string
	err    error
}

func (d *tempDir) get() (string, error) {
	d.once.Do(func() {
		if d.parent == "" {
			d.path, d.err = os.MkdirTemp("", "healml-join-")
		} else {
			d.path, d.err = durable.TempDir(d.parent)
		}
	})
	return d.path, d.err
}

func (d *tempDir) remove() error {
	if d.path == "" {
		return nil
	}
	return os.RemoveAll(d.path)
}

// joinKey stands for an id: a UUID by its bytes, anything else by a hash.
func joinKey(dst []byte, id string) {
	if !uuidBytes(dst, id) {
		sum := sha256.Sum256([]byte(id))
		copy(dst, sum[:16])
	}
}

// uuidBytes writes the 16 bytes of a UUID in its canonical form.
func uuidBytes(dst []byte, id string) bool {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return false
	}
	at := 0
	for i := 0; i < 36; i += 2 {
		if id[i] == '-' {
			i++
		}
		hi, lo := hexDigits[id[i]], hexDigits[id[i+1]]
		if hi|lo > 15 {
			return false
		}
		dst[at] = hi<<4 | lo
		at++
	}
	return true
}

// hexDigits is the value of each digit in lower case, 255 of other bytes.
var hexDigits = func() (d [256]byte) {
	for i := range d {
		d[i] = 255
	}
	for i, c := range "0123456789abcdef" {
		d[c] = byte(i)
	}
	return d
}()

// hashKey mixes a key: the upper bits choose its part, the lower ones its slot.
func hashKey(key []byte) uint64 {
	h := binary.LittleEndian.Uint64(key)*0x9e3779b97f4a7c15 ^ binary.LittleEndian.Uint64(key[8:])
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}

// partOf is the part, of a power of two of them, that a hash falls into.
func partOf(hash uint64, parts int) int { return int(hash >> (64 - bits.TrailingZeros(uint(parts)))) }

// partsFor is the number of parts for so many bytes of actuals.
func partsFor(size int64) int {
	const perRow = 25 // bytes, of sealed ones
	parts := leastParts
	for parts < mostParts && size/perRow > int64(parts)*partRows {
		parts *= 2
	}
	return parts
}

// gather collects records for the parts of a spill, so that a lock is taken
// once for many.
type gather struct {
	s     *spill
	parts [][]byte
}

func newGather(s *spill) *gather { return &gather{s, make([][]byte, len(s.parts))} }

func (g *gather) add(part int, rec []byte) error {
	g.parts[part] = append(g.parts[part], rec...)
	if len(g.parts[part]) < 2<<10 {
		return nil
	}
	err := g.s.add(part, g.parts[part])
	g.parts[part] = g.parts[part][:0]
	return err
}

func (g *gather) flush() error {
	for p, b := range g.parts {
		if err := g.s.add(p, b); err != nil {
			return err
		}
		g.parts[p] = nil
	}
	return nil
}

// takeActuals puts the actuals into parts by id. Those without a value are
// counted and dropped.
func (s *Stream) takeActuals() error {
	g := newGather(s.byID)
	segments := map[string]uint64{}
	var names []string
	inSegment := map[string]uint64{}
	findings, err := s.actuals.each(nil, func(r part) error {
		id, value, at := r.t.Column(ColumnID), r.t.Column(ColumnActual), r.t.Column(ColumnActualTime)
		if id == nil || value == nil {
			return nil
		}
		number, ok := segments[r.segment]
		if !ok {
			number = uint64(len(names))
			segments[r.segment] = number
			names = append(names, r.segment)
		}
		truths, sources := s.parse(value), s.codesOf(r.t.Column(ColumnActualSource))
		var rec [actualWidth]byte
		row := inSegment[r.segment]
		for i := range r.t.NumRows() {
			s.Stats.Actuals++
			row++
			k := value.Codes[i]
			if k < 0 || !truths[k].ok || id.Missing(i) {
				s.Stats.Invalid++
				continue
			}
			joinKey(rec[:], id.Text(i))
			binary.LittleEndian.PutUint64(rec[actualAt:], uint64(at.Times[i]))
			binary.LittleEndian.PutUint64(rec[actualOrder:], number<<40|row)
			binary.LittleEndian.PutUint64(rec[actualValue:], truths[k].bits)
			binary.LittleEndian.PutUint32(rec[actualSource:], sources(i))
			if err := g.add(partOf(hashKey(rec[:16]), s.parts), rec[:]); err != nil {
				return err
			}
		}
		inSegment[r.segment] = row
		return nil
	})
	s.Stats.Findings = append(s.Stats.Findings, findings...)
	if err != nil {
		return err
	}
	s.ranks = ranksOf(names)
	return g.flush()
}

// codesOf are the codes of the sources in a column, which may be nil, plus 1; 0
// for none.
func (s *Stream) codesOf(source *table.Column) func(i int) uint32 {
	if source == nil || source.Type != table.String {
		return func(int) uint32 { return 0 }
	}
	codes := make([]uint32, len(source.Dict))
	for k, text := range source.Dict {
		if text != "" {
			s.sources.codes = s.sources.codes[:0]
			s.sources.add([]byte(text))
			codes[k] = uint32(s.sources.codes[0]) + 1
		}
	}
	return func(i int) uint32 {
		if k := source.Codes[i]; k >= 0 {
			return codes[k]
		}
		return 0
	}
}

// parsed is a text of the actuals' values: a number's bits or a label's code.
type parsed struct {
	bits uint64
	ok   bool
}

func (s *Stream) parse(value *table.Column) []parsed {
	out := make([]parsed, len(value.Dict))
	for k, text := range value.Dict {
		a, ok := parseTruth(text, s.o.Task)
		out[k].ok = ok
		switch {
		case !ok:
		case s.o.Task.Classified():
			s.labels.codes = s.labels.codes[:0]
			s.labels.add([]byte(a.text))
			out[k].bits = uint64(s.labels.codes[0])
		default:
			out[k].bits = math.Float64bits(a.number)
		}
	}
	return out
}

// ranksOf gives each segment, by number, its place in the order of names.
func ranksOf(names []string) []uint64 {
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(names[a], names[b]) })
	ranks := make([]uint64, len(names))
	for rank, i := range order {
		ranks[i] = uint64(rank)
	}
	return ranks
}

// takeIDs puts the ids of the predictions into parts.
func (s *Stream) takeIDs() error {
	g := newGather(s.asked)
	findings, err := s.preds.each([]string{ColumnID}, func(r part) error {
		id, at := r.t.Column(ColumnID), r.t.Column(ColumnTime)
		if id == nil {
			return fmt.Errorf("segment %s has no column %s", r.segment, ColumnID)
		}
		var rec [askedWidth]byte
		for i := range r.t.NumRows() {
			joinKey(rec[:], id.Text(i))
			binary.LittleEndian.PutUint64(rec[16:], s.rows)
			binary.LittleEndian.PutUint64(rec[24:], uint64(at.Times[i]))
			s.rows++
			if err := g.add(partOf(hashKey(rec[:16]), s.parts), rec[:]); err != nil {
				return err
			}
		}
		return nil
	})
	s.Stats.Findings = append(s.Stats.Findings, findings...)
	if err != nil {
		return err
	}
	return g.flush()
}

// match joins the parts, on all processors.
func (s *Stream) match() error {
	var next atomic.Int64
	var wg sync.WaitGroup
	workers := make([]partJoin, min(runtime.GOMAXPROCS(0), 4))
	errs := make([]error, len(workers))
	for w := range workers {
		wg.Go(func() {
			for errs[w] == nil {
				p := int(next.Add(1)) - 1
				if p >= s.parts {
					return
				}
				errs[w] = workers[w].join(s, p)
			}
		})
	}
	wg.Wait()
	for _, w := range workers {
		s.Stats.Matched += w.stats.Matched
		s.Stats.Duplicates += w.stats.Duplicates
		s.Stats.Conflicts += w.stats.Conflicts
		s.Stats.Unknown += w.stats.Unknown
		s.lag.merge(&w.lag)
	}
	return errors.Join(errs...)
}

// Each passes the predictions, file by file, with the columns that [Join]
// adds. It may be called once. The Dict of prediction_id may list a text
// twice.
func (s *Stream) Each(visit func(*table.Table) error) error {
	var row uint64
	loaded := -1
	var found []byte
	window := newResultWindow()
	_, err := s.preds.each(s.o.Columns, func(r part) error {
		n := r.t.NumRows()
		out := newJoined(n, s.o.Task)
		for i := range n {
			if part := int((row + uint64(i)) / resultRange); part != loaded {
				var err error
				if found, err = s.results.load(part, found); err != nil {
					return err
				}
				window.fill(found)
				loaded = part
			}
			out.set(i, window, int((row+uint64(i))%resultRange))
		}
		row += uint64(n)
		t, err := r.t.With(out.columns(s.labels.dict, s.sources.dict)...)
		if err != nil {
			return err
		}
		return visit(t)
	})
	if err == nil && row != s.rows {
		err = fmt.Errorf("%d rows were read after %d", row, s.rows)
	}
	if err != nil {
		return fmt.Errorf("join logs: %w", err)
	}
	return nil
}
