package fit

// entry is one bin of a histogram: sums over the rows of a leaf that fall
// into the bin.
type entry struct{ g, h float64 }

// pair is the gradient and the hessian of the loss at one row. They are
// float32, as in LightGBM; all sums are float64.
type pair struct{ g, h float32 }

// accumulate adds the rows of a leaf to a group's part of its histogram.
// Every bin is summed in the order of rows, so the sums do not depend on how
// features are grouped or who does it.
func (g *group) accumulate(hist []entry, rows []int32, grad []pair) {
	if g.wide {
		g.accumulateWide(hist, rows, grad)
		return
	}
	lanes := (*[narrowLanes * narrowBins]entry)(hist)
	switch g.hi - g.lo {
	case 8, 7:
		accumulate8(lanes, g.words, rows, grad)
	case 6, 5:
		accumulate6(lanes, g.words, rows, grad)
	case 4, 3:
		accumulate4(lanes, g.words, rows, grad)
	default:
		accumulate2(lanes, g.words, rows, grad)
	}
}

// The loops below are written out by hand: this is where training spends
// most of its time. A byte behind a
// constant cannot leave the array, so no bounds are checked. Lanes without a feature have bin 0 in every row.

func accumulate8(h *[narrowLanes * narrowBins]entry, words []uint64, rows []int32, grad []pair) {
	for _, r := range rows {
		w, p := words[r], grad[r]
		g, s := float64(p.g), float64(p.h)
		e := &h[uint8(w)]
		e.g += g
		e.h += s
		e = &h[1*narrowBins+int(uint8(w>>8))]
		e.g += g
		e.h += s
		e = &h[2*narrowBins+int(uint8(w>>16))]
		e.g += g
		e.h += s
		e = &h[3*narrowBins+int(uint8(w>>24))]
		e.g += g
		e.h += s
		e = &h[4*narrowBins+int(uint8(w>>32))]
		e.g += g
		e.h += s
		e = &h[5*narrowBins+int(uint8(w>>40))]
		e.g += g
		e.h += s
		e = &h[6*narrowBins+int(uint8(w>>48))]
		e.g += g
		e.h += s
		e = &h[7*narrowBins+int(uint8(w>>56))]
		e.g += g
		e.h += s
	}
}

func accumulate6(h *[narrowLanes * narrowBins]entry, words []uint64, rows []int32, grad []pair) {
	for _, r := range rows {
		w, p := words[r], grad[r]
		g, s := float64(p.g), float64(p.h)
		e := &h[uint8(w)]
		e.g += g
		e.h += s
		e = &h[1*narrowBins+int(uint8(w>>8))]
		e.g += g
		e.h += s
		e = &h[2*narrowBins+int(uint8(w>>16))]
		e.g += g
		e.h += s
		e = &h[3*narrowBins+int(uint8(w>>24))]
		e.g += g
		e.h += s
		e = &h[4*narrowBins+int(uint8(w>>32))]
		e.g += g
		e.h += s
		e = &h[5*narrowBins+int(uint8(w>>40))]
		e.g += g
		e.h += s
	}
}

func accumulate4(h *[narrowLanes * narrowBins]entry, words []uint64, rows []int32, grad []pair) {
	for _, r := range rows {
		w, p := words[r], grad[r]
		g, s := float64(p.g), float64(p.h)
		e := &h[uint8(w)]
		e.g += g
		e.h += s
		e = &h[1*narrowBins+int(uint8(w>>8))]
		e.g += g
		e.h += s
		e = &h[2*narrowBins+int(uint8(w>>16))]
		e.g += g
		e.h += s
		e = &h[3*narrowBins+int(uint8(w>>24))]
		e.g += g
		e.h += s
	}
}

func accumulate2(h *[narrowLanes * narrowBins]entry, words []uint64, rows []int32, grad []pair) {
	for _, r := range rows {
		w, p := words[r], grad[r]
		g, s := float64(p.g), float64(p.h)
		e := &h[uint8(w)]
		e.g += g
		e.h += s
		e = &h[1*narrowBins+int(uint8(w>>8))]
		e.g += g
		e.h += s
	}
}

// accumulateWide is accumulate for features of more than 256 bins, which lie
// behind one another in hist without gaps.
func (g *group) accumulateWide(hist []entry, rows []int32, grad []pair) {
	for _, r := range rows {
		w, p := g.words[r], grad[r]
		for _, at := range g.starts[:g.hi-g.lo] {
			e := &hist[int(at)+int(uint16(w))]
			e.g += float64(p.g)
			e.h += float64(p.h)
			w >>= 16
		}
	}
}

// subtract takes the histogram part b from a.
func subtract(a, b []entry) {
	b = b[:len(a)]
	for i := range a {
		a[i].g -= b[i].g
		a[i].h -= b[i].h
	}
}
