package predlog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// partJoin joins one part after another; it keeps its memory.
type partJoin struct {
	stats   JoinStats
	lag     lagHistogram
	actuals []byte
	asked   []byte
	slots   []int32 // of a hash table: the newest actual of a key, plus one
	seen    []int32 // actuals of the key, by the newest one's number
	known   []bool
	out     map[int][]byte
}

// join finds the newest actual of each prediction in part p.
func (j *partJoin) join(s *Stream, p int) error {
	var err error
	if j.actuals, err = s.byID.load(p, j.actuals); err != nil {
		return err
	}
	if j.asked, err = s.asked.load(p, j.asked); err != nil {
		return err
	}
	before := j.stats
	if !j.build(s.ranks) {
		j.stats = before
		j.sort(s.ranks)
		j.build(s.ranks)
	}
	if j.out == nil {
		j.out = map[int][]byte{}
	}
	for b := j.asked; len(b) > 0; b = b[askedWidth:] {
		k := j.find(b[:16])
		if k < 0 {
			continue
		}
		j.known[k] = true
		j.stats.Matched++
		if err := j.emit(s.results, b, j.record(k)); err != nil {
			return err
		}
	}
	for k, n := range j.seen {
		if n > 0 && !j.known[k] {
			j.stats.Unknown += int(n)
		}
	}
	for part, b := range j.out {
		if err := s.results.add(part, b); err != nil {
			return err
		}
	}
	clear(j.out)
	return nil
}

func (j *partJoin) emit(results *spill, asked, actual []byte) error {
	row := binary.LittleEndian.Uint64(asked[16:])
	at := int64(binary.LittleEndian.Uint64(actual[actualAt:]))
	j.lag.add(at - int64(binary.LittleEndian.Uint64(asked[24:])))
	part := int(row / resultRange)
	b := binary.LittleEndian.AppendUint32(j.out[part], uint32(row%resultRange))
	b = append(b, actual[actualValue:actualWidth]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(at))
	if len(b) >= 8<<10 {
		if err := results.add(part, b); err != nil {
			return err
		}
		b = b[:0]
	}
	j.out[part] = b
	return nil
}

func (j *partJoin) record(k int) []byte { return j.actuals[k*actualWidth : (k+1)*actualWidth] }

// build fills the hash table and counts repetitions. It is false when two
// actuals of one id do not come in the order of time.
func (j *partJoin) build(ranks []uint64) bool {
	n := len(j.actuals) / actualWidth
	size := 1 << bits.Len(uint(2*n))
	if len(j.slots) < size || len(j.slots) > 8*size {
		j.slots = make([]int32, size)
	}
	clear(j.slots)
	j.seen = append(j.seen[:0], make([]int32, n)...)
	j.known = append(j.known[:0], make([]bool, n)...)
	for k := range n {
		rec := j.record(k)
		slot := j.slot(rec[:16])
		last := int(j.slots[slot]) - 1
		j.slots[slot] = int32(k + 1)
		j.seen[k] = 1
		if last < 0 {
			continue
		}
		before := j.record(last)
		if compareActuals(before, rec, ranks) > 0 {
			return false
		}
		j.seen[k], j.seen[last] = j.seen[last]+1, 0
		if sameTruth(before[actualValue:actualSource], rec[actualValue:actualSource]) {
			j.stats.Duplicates++
		} else {
			j.stats.Conflicts++
		}
	}
	return true
}

// sameTruth compares values; 0 and −0 are one, and a label's code is never the
// bits of −0.
func sameTruth(a, b []byte) bool {
	return bytes.Equal(a, b) ||
		math.Float64frombits(binary.LittleEndian.Uint64(a)) == 0 && math.Float64frombits(binary.LittleEndian.Uint64(b)) == 0
}

// slot is where key stands in the table, or where it would.
func (j *partJoin) slot(key []byte) int {
	mask := len(j.slots) - 1
	at := int(hashKey(key)) & mask
	for j.slots[at] != 0 && !bytes.Equal(j.record(int(j.slots[at]) - 1)[:16], key) {
		at = (at + 1) & mask
	}
	return at
}

// find is the number of the newest actual of key, −1 when there is none.
func (j *partJoin) find(key []byte) int {
	if len(j.actuals) == 0 {
		return -1
	}
	return int(j.slots[j.slot(key)]) - 1
}

// compareActuals orders actuals by the time of receipt and then as they were
// logged.
func compareActuals(a, b []byte, ranks []uint64) int {
	at := func(r []byte) int64 { return int64(binary.LittleEndian.Uint64(r[actualAt:])) }
	order := func(r []byte) uint64 {
		o := binary.LittleEndian.Uint64(r[actualOrder:])
		return ranks[o>>40]<<40 | o&(1<<40-1)
	}
	if c := cmp.Compare(at(a), at(b)); c != 0 {
		return c
	}
	return cmp.Compare(order(a), order(b))
}

// sort puts the actuals of the part into order.
func (j *partJoin) sort(ranks []uint64) {
	n := len(j.actuals) / actualWidth
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compareActuals(j.record(a), j.record(b), ranks) })
	sorted := make([]byte, 0, len(j.actuals))
	for _, i := range order {
		sorted = append(sorted, j.record(i)...)
	}
	j.actuals = sorted
}

// resultWindow is what was found for a range of rows.
type resultWindow struct {
	value  []uint64
	source []uint32 // as in actuals
	at     []int64  // table.NoTime: nothing
}

func newResultWindow() *resultWindow {
	return &resultWindow{make([]uint64, resultRange), make([]uint32, resultRange), make([]int64, resultRange)}
}

func (w *resultWindow) fill(found []byte) {
	for i := range w.at {
		w.at[i] = table.NoTime
	}
	for b := found; len(b) > 0; b = b[resultWidth:] {
		row := binary.LittleEndian.Uint32(b)
		w.value[row] = binary.LittleEndian.Uint64(b[4:])
		w.source[row] = binary.LittleEndian.Uint32(b[12:])
		w.at[row] = int64(binary.LittleEndian.Uint64(b[16:]))
	}
}

// joined are the three columns that a join adds.
type joined struct {
	value  table.Column
	at     []int64
	source []int32
}

func newJoined(n int, task schema.Task) *joined {
	j := &joined{value: table.Column{Name: ColumnActual, Type: table.Float}, at: make([]int64, n), source: make([]int32, n)}
	if task.Classified() {
		j.value.Type = table.String
		j.value.Codes = make([]int32, n)
	} else {
		j.value.Floats = make([]float64, n)
	}
	return j
}

func (j *joined) set(i int, w *resultWindow, row int) {
	j.at[i] = w.at[row]
	missing := w.at[row] == table.NoTime
	if j.source[i] = -1; !missing {
		j.source[i] = int32(w.source[row]) - 1
	}
	switch {
	case j.value.Type == table.String && missing:
		j.value.Codes[i] = -1
	case j.value.Type == table.String:
		j.value.Codes[i] = int32(w.value[row])
	case missing:
		j.value.Floats[i] = math.NaN()
	default:
		j.value.Floats[i] = math.Float64frombits(w.value[row])
	}
}

func (j *joined) columns(labels, sources []string) []*table.Column {
	if j.value.Type == table.String {
		j.value.Dict = labels
	}
	return []*table.Column{
		&j.value, table.Times(ColumnActualTime, j.at), {Name: ColumnActualSource, Type: table.String, Codes: j.source, Dict: sources},
	}
}

// lagHistogram counts lags in µs in buckets that grow by a 16th.
type lagHistogram struct {
	counts [64 * 16]int64
	n      int64
}

func (h *lagHistogram) add(us int64) {
	h.counts[lagBucket(max(us, 0))]++
	h.n++
}

func (h *lagHistogram) merge(o *lagHistogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.n += o.n
}

// lagBucket is the number of us in the buckets: exact below 16, then by the
// highest bit and the four behind it.
func lagBucket(us int64) int {
	if us < 16 {
		return int(us)
	}
	shift := bits.Len64(uint64(us)) - 5
	return (shift+1)*16 + int(us>>shift)&15
}

// bucketStart is the least number in a bucket.
func bucketStart(k int) int64 {
	if k < 16 {
		return int64(k)
	}
	return int64(16+k%16) << (k/16 - 1)
}

// quantile is the beginning of the bucket that the quantile q falls into; 0
// without any lag.
func (h *lagHistogram) quantile(q float64) int64 {
	if h.n == 0 {
		return 0
	}
	rank := int64(math.Ceil(q * float64(h.n)))
	for k, n := range h.counts {
		if rank -= n; rank <= 0 && n > 0 {
			return bucketStart(k)
		}
	}
	return 0
}
