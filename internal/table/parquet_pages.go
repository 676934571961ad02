package table

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/metadata"
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

// chunk is the part of the file that holds a column chunk.
func (f *parquetFile) chunk(m *metadata.ColumnChunkMetaData, s *scratch) ([]byte, error) {
	start, size := m.DataPageOffset(), m.TotalCompressedSize()
	if m.HasDictionaryPage() && m.DictionaryPageOffset() > 0 {
		start = min(start, m.DictionaryPageOffset())
	}
	if start < 0 || size < 0 || start > f.size || size > f.size-start {
		return nil, errors.New("a column lies outside of the file")
	}
	b, err := f.span(start, size, s.chunk)
	if f.whole == nil {
		s.chunk = b
	}
	return b, err
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
