package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"
	"github.com/klauspost/compress/zstd"
)

const (
	// thriftDepth is how deep metadata may nest; Parquet's own nests to 8.
	thriftDepth = 32
	// maxPage is the greatest size of an unpacked page that is read.
	maxPage = 1 << 30
	// maxRatio is the greatest factor by which data of any size may unpack
	// (deflate's own limit), and unpackFreely the size up to which it is not
	// asked for.
	maxRatio     = 1032
	unpackFreely = 16 << 20
	// byteStreamSplit is the encoding that Arrow has no name for.
	byteStreamSplit = 9
)

var errHeader = errors.New("a page header does not fit its data")

// checkFooter reports whether the footer of a Parquet file, without its
// length and the magic bytes, is well-formed.
func checkFooter(b []byte) error {
	c := compact{b: b}
	c.skip(thriftStruct, thriftDepth)
	if c.bad {
		return errors.New("its footer is malformed")
	}
	return nil
}

// chunkBytes is the part of a Parquet file that holds a column chunk.
func chunkBytes(b []byte, m *metadata.ColumnChunkMetaData) ([]byte, error) {
	start, size := m.DataPageOffset(), m.TotalCompressedSize()
	if m.HasDictionaryPage() && m.DictionaryPageOffset() > 0 {
		start = min(start, m.DictionaryPageOffset())
	}
	if start < 0 || size < 0 || start > int64(len(b)) || size > int64(len(b))-start {
		return nil, errors.New("a column lies outside of the file")
	}
	return b[start : start+size], nil
}

// pageHeader is what Parquet's PageHeader says of sizes.
type pageHeader struct {
	kind           int64 // see below
	size, packed   int64 // in bytes: after and before unpacking
	values         int64
	levels         int64 // bytes of levels, which version 2 does not pack
	storedUnpacked bool  // version 2: the values are not packed either
}

const (
	dataPage       = 0
	dictionaryPage = 2
	dataPageV2     = 3
)

func (c *compact) pageHeader() pageHeader {
	var h pageHeader
	c.fields(thriftDepth, func(id int64, typ byte) bool {
		switch {
		case id == 1 && typ != thriftStruct:
			h.kind = c.varint()
		case id == 2 && typ != thriftStruct:
			h.size = c.varint()
		case id == 3 && typ != thriftStruct:
			h.packed = c.varint()
		case (id == 5 || id == 7) && typ == thriftStruct: // data page, dictionary page
			c.fields(thriftDepth, func(id int64, _ byte) bool {
				if id == 1 {
					h.values = c.varint()
				}
				return id == 1
			})
		case id == 8 && typ == thriftStruct: // data page of version 2
			c.fields(thriftDepth, h.takeV2(c))
		default:
			return false
		}
		return true
	})
	return h
}

func (h *pageHeader) takeV2(c *compact) func(id int64, typ byte) bool {
	return func(id int64, typ byte) bool {
		switch id {
		case 1:
			h.values = c.varint()
		case 5, 6:
			n := c.varint()
			if n < 0 || n > maxPage {
				c.fail()
			}
			h.levels += n
		case 7:
			h.storedUnpacked = typ == thriftFalse
		default:
			return false
		}
		return true
	}
}

// checkPages walks over the pages of a column chunk and makes sure that
// their sizes fit the chunk, that what they unpack to has the size they say,
// and that they hold rows values.
func checkPages(chunk []byte, rows int64, codec compress.Compression) error {
	c := compact{b: chunk}
	for seen := int64(0); seen < rows; {
		h := c.pageHeader()
		switch {
		case c.bad, h.packed < 0, h.packed > int64(len(c.b)), h.size < 0, h.size > maxPage, h.values < 0:
			return errHeader
		case h.kind == dictionaryPage:
			if h.values > h.size {
				return errHeader
			}
		case h.kind == dataPage, h.kind == dataPageV2:
			if seen += h.values; seen > rows || h.levels > min(h.size, h.packed) {
				return errHeader
			}
		}
		if !h.storedUnpacked {
			if err := checkPacked(c.b[h.levels:h.packed], h.size-h.levels, codec); err != nil {
				return err
			}
		} else if h.size != h.packed {
			return errHeader
		}
		c.advance(uint64(h.packed))
	}
	return nil
}

// unpacks reports whether packed bytes may well become so many unpacked ones.
func unpacks(packed, unpacked int64) bool {
	return unpacked <= unpackFreely || unpacked/maxRatio <= packed
}

// checkPacked reports whether b can unpack to size bytes.
func checkPacked(b []byte, size int64, codec compress.Compression) error {
	fits := unpacks(int64(len(b)), size)
	switch codec {
	case compress.Codecs.Uncompressed:
		fits = size == int64(len(b))
	case compress.Codecs.Snappy:
		n, read := binary.Uvarint(b)
		fits = fits && (size == 0 || read > 0 && n == uint64(size))
	case compress.Codecs.Zstd:
		var h zstd.Header
		fits = fits && (size == 0 || h.Decode(b) == nil && (!h.HasFCS || h.FrameContentSize <= uint64(size)))
	case compress.Codecs.Gzip, compress.Codecs.Brotli:
	default:
		return fmt.Errorf("compression %s is not supported; write it with snappy, zstd or gzip", codec)
	}
	if !fits {
		return errHeader
	}
	return nil
}

// checkedPages is a PageReader for a flat column. It looks into unpacked pages
// of the delta and dictionary encodings, whose decoders allocate by counts and
// indices that are stored in there, and turns the encoding BYTE_STREAM_SPLIT,
// which Arrow's decoders do not know, into PLAIN.
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
	levels, ok := p.levels(page)
	if !ok {
		p.err = errHeader
		return false
	}
	values := page.Data()[levels:]
	if page.Encoding() == byteStreamSplit {
		p.page = plainPage(page, levels, joinStreams(values, p.width()))
		return true
	}
	p.err = p.checkValues(values, uint64(page.NumValues()), parquet.Encoding(page.Encoding()))
	return p.err == nil
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

// levels is the number of bytes before the values of a page.
func (p *checkedPages) levels(page file.Page) (n int64, ok bool) {
	size := int64(len(page.Data()))
	switch v := page.(type) {
	case *file.DataPageV1:
		if p.descr.MaxDefinitionLevel() > 0 { // their length, then the levels
			if size < 4 {
				return 0, false
			}
			n = int64(binary.LittleEndian.Uint32(page.Data())) + 4
		}
	case *file.DataPageV2:
		n = int64(v.DefinitionLevelByteLen()) + int64(v.RepetitionLevelByteLen())
	}
	return n, n <= size
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

// checkValues checks the counts and indices in a page of at most most values.
func (p *checkedPages) checkValues(b []byte, most uint64, e parquet.Encoding) error {
	c := compact{b: b}
	switch e {
	case parquet.Encodings.DeltaBinaryPacked, parquet.Encodings.DeltaLengthByteArray:
		c.deltas(most)
	case parquet.Encodings.DeltaByteArray: // lengths of prefixes, then of suffixes
		c.deltas(most)
		c.deltas(most)
	case parquet.Encodings.PlainDict, parquet.Encodings.RLEDict:
		c.indices(most, p.dictionary)
	}
	if c.bad {
		return errHeader
	}
	return nil
}

// indices moves over at most most indices into a dictionary of so many
// values, in runs of one index and of bit-packed ones. A writer may cut the
// padding off the last run.
func (c *compact) indices(most uint64, dictionary int) {
	const narrow = 16 // bits for which no dictionary is too small
	if len(c.b) == 0 {
		return
	}
	width := int(c.byte())
	if width > narrow && width > bits.Len(uint(dictionary))+1 {
		c.fail()
		return
	}
	for seen := uint64(0); seen < most && len(c.b) > 0; {
		head := c.uvarint()
		n, size := head>>1, uint64(width+7)/8
		if packed := head&1 == 1; packed {
			n, size = min(n, most)*8, min(n, most)*uint64(width)
		} else if uint64(len(c.b)) >= size && littleEndian(c.b[:size]) >= uint64(max(dictionary, 1)) {
			c.fail()
			return
		}
		c.b = c.b[min(size, uint64(len(c.b))):]
		seen += min(n, most)
	}
}

func littleEndian(b []byte) (v uint64) {
	for i, x := range b {
		v |= uint64(x) << (8 * i)
	}
	return v
}

// deltas moves over one run of delta-packed whole numbers.
func (c *compact) deltas(most uint64) {
	const maxBlock = 1 << 16
	block, minis, total := c.uvarint(), c.uvarint(), c.uvarint()
	c.uvarint() // the first value
	if minis == 0 || minis > block || block > maxBlock || total > most {
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
