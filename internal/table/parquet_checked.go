package table

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// byteStreamSplit is the encoding that Arrow has no name for.
const byteStreamSplit = 9

// checkedPages is a PageReader for a flat column. It looks into unpacked pages
// before Arrow does, whose decoders allocate by the counts and indices that are
// stored in there, and wait forever for levels and values that are not. It
// turns the encoding BYTE_STREAM_SPLIT, which Arrow does not know, into PLAIN.
type checkedPages struct {
	file.PageReader
	descr      *schema.Column
	dictionary int       // its number of values
	page       file.Page // replaces the reader's page
	err        error
}

func (p *checkedPages) Next() bool {
	p.page = nil
	if p.err != nil || !p.PageReader.Next() {
		return false
	}
	page := p.PageReader.Page()
	if d, ok := page.(*file.DictionaryPage); ok {
		p.dictionary = int(d.NumValues())
		return true
	}
	prefix, levels, ok := p.levels(page)
	rows := uint64(max(page.NumValues(), 0))
	present := rows
	if ok && p.descr.MaxDefinitionLevel() > 0 {
		present, ok = countPresent(page.Data()[prefix:levels], rows)
	}
	if !ok {
		p.err = errHeader
		return false
	}
	values := page.Data()[levels:]
	if page.Encoding() == byteStreamSplit {
		p.page = plainPage(page, levels, joinStreams(values, p.width()))
	} else if !p.valuesFit(values, present, parquet.Encoding(page.Encoding())) {
		p.err = errHeader
		return false
	}
	return true
}

func (p *checkedPages) Page() file.Page {
	if p.page != nil {
		return p.page
	}
	return p.PageReader.Page()
}

func (p *checkedPages) Err() error {
	if p.err != nil {
		return p.err
	}
	return p.PageReader.Err()
}

// levels returns where in a page the definition levels start and where the
// values do.
func (p *checkedPages) levels(page file.Page) (start, end int64, ok bool) {
	size := int64(len(page.Data()))
	switch v := page.(type) {
	case *file.DataPageV1:
		if p.descr.MaxDefinitionLevel() == 0 {
			return 0, 0, true
		}
		// Their length, then the levels. The older coding by bits alone was
		// never used for columns like these.
		if size < 4 || parquet.Encoding(v.DefinitionLevelEncoding()) != parquet.Encodings.RLE {
			return 0, 0, false
		}
		start = 4
		end = start + int64(binary.LittleEndian.Uint32(page.Data()))
	case *file.DataPageV2:
		start = int64(v.RepetitionLevelByteLen())
		end = start + int64(v.DefinitionLevelByteLen())
	}
	return start, end, start >= 0 && start <= end && end <= size
}

// width is the number of bytes of a value in PLAIN, 1 when it varies.
func (p *checkedPages) width() int {
	if p.descr.PhysicalType() == parquet.Types.FixedLenByteArray {
		return max(p.descr.TypeLength(), 1)
	}
	return max(p.descr.PhysicalType().ByteSize(), 1)
}

// joinStreams puts together values of width bytes of which b holds all first
// bytes, then all second bytes, and so on.
func joinStreams(b []byte, width int) []byte {
	n := len(b) / width
	out := make([]byte, n*width)
	for k := range width {
		for i, v := range b[k*n : (k+1)*n] {
			out[i*width+k] = v
		}
	}
	return out
}

// plainPage is page with other values after its levels.
func plainPage(page file.Page, levels int64, values []byte) file.Page {
	data := append(page.Data()[:levels:levels], values...)
	buffer := memory.NewBufferBytes(data)
	switch v := page.(type) {
	case *file.DataPageV1:
		return file.NewDataPageV1(buffer, v.NumValues(), parquet.Encodings.Plain,
			parquet.Encoding(v.DefinitionLevelEncoding()), parquet.Encoding(v.RepetitionLevelEncoding()), int32(len(data)))
	case *file.DataPageV2:
		return file.NewDataPageV2(buffer, v.NumValues(), v.NumNulls(), v.NumRows(), parquet.Encodings.Plain,
			v.DefinitionLevelByteLen(), v.RepetitionLevelByteLen(), int32(len(data)), false)
	}
	return page
}

// countPresent counts the values that are not missing by the levels of a page
// of so many rows. It is false when there are fewer levels.
func countPresent(levels []byte, rows uint64) (present uint64, ok bool) {
	c := compact{b: levels}
	seen, present := c.runs(1, rows, 2)
	return present, seen == rows && !c.bad
}

// valuesFit reports whether a page holds present values, and no counts or
// indices beyond what it can hold.
func (p *checkedPages) valuesFit(b []byte, present uint64, e parquet.Encoding) bool {
	const narrow = 16 // bits for which no dictionary is too small
	c := compact{b: b}
	switch e {
	case parquet.Encodings.DeltaBinaryPacked, parquet.Encodings.DeltaLengthByteArray:
		c.deltas(present)
	case parquet.Encodings.DeltaByteArray: // lengths of prefixes, then of suffixes
		c.deltas(present)
		c.deltas(present)
	case parquet.Encodings.PlainDict, parquet.Encodings.RLEDict:
		if present == 0 {
			return true
		}
		width := int(c.byte())
		if width > narrow && width > bits.Len(uint(p.dictionary))+1 {
			return false
		}
		seen, _ := c.runs(width, present, uint64(p.dictionary))
		return seen == present && !c.bad
	}
	return !c.bad
}

// runs moves over at most most whole numbers of width bits, in runs of one
// number below limit and of bit-packed ones. It returns how many there are and
// how many of them are 1, for a width of 1. A writer may cut the padding off
// the last run.
func (c *compact) runs(width int, most, limit uint64) (seen, ones uint64) {
	for seen < most && !c.bad && len(c.b) > 0 {
		head := c.uvarint()
		n := min(head>>1, most)
		if head&1 == 0 {
			b := c.take(uint64(width+7) / 8)
			v := littleEndian(b)
			if v >= limit {
				c.fail()
			}
			n = min(n, most-seen)
			ones += n * min(v, 1)
		} else {
			b := c.take(min(n*uint64(width), uint64(len(c.b))))
			n *= 8
			if width > 0 {
				n = min(n, uint64(len(b))*8/uint64(width))
			}
			n = min(n, most-seen)
			if width == 1 {
				ones += countOnes(b, n)
			}
		}
		seen += n
	}
	return seen, ones
}

// take moves over n bytes and returns them.
func (c *compact) take(n uint64) []byte {
	b := c.b
	c.advance(n)
	if c.bad {
		return nil
	}
	return b[:n]
}

func littleEndian(b []byte) (v uint64) {
	for i, x := range b {
		v |= uint64(x) << (8 * i)
	}
	return v
}

// countOnes counts the ones among the first n bits.
func countOnes(b []byte, n uint64) (ones uint64) {
	for _, x := range b[:n/8] {
		ones += uint64(bits.OnesCount8(x))
	}
	if n%8 > 0 {
		ones += uint64(bits.OnesCount8(b[n/8] & (1<<(n%8) - 1)))
	}
	return ones
}

// deltas moves over one run of as many delta-packed whole numbers as values
// are present. Without any there may be no run.
func (c *compact) deltas(present uint64) {
	const maxBlock = 1 << 16
	if present == 0 && len(c.b) == 0 {
		return
	}
	block, minis, total := c.uvarint(), c.uvarint(), c.uvarint()
	c.uvarint() // the first value
	if minis == 0 || minis > block || block > maxBlock || total != present {
		c.fail()
		return
	}
	size := block / minis
	for left := int64(total) - 1; left > 0 && !c.bad; {
		c.uvarint() // the least delta
		widths := c.b[:min(uint64(len(c.b)), minis)]
		c.advance(minis)
		for _, width := range widths {
			if left <= 0 || c.bad {
				break
			}
			c.advance(uint64(width) * size / 8)
			left -= int64(size)
		}
	}
}
