package retrain_test

import (
	"testing"

	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
)

// TestBreak: when all that the champion does not know lies behind a sudden turn
// of the world, no cure that is judged on the whole of it can know of the turn.
// It is cut in two, and what learns from the first half is proven on the second.
func TestBreak(t *testing.T) {
	const learnt = 400
	calm, _ := synth.Sales(3, synth.Options{Days: learnt + 40, Still: true})
	in, err := newWorld(t, calm, learnt, 1).heal(t, nil)
	must(t, err)
	if in.Break != nil || in.Promoted {
		t.Fatalf("a calm world broke: %+v; %s", in.Break, in.Reason)
	}
	in, err = newWorld(t, turned(calm, learnt), learnt, 1).heal(t, nil)
	must(t, err)
	if in.Break == nil || in.Break.Loss < 1.25*in.Break.Expected {
		t.Fatalf("no break was seen: %s", in.Story())
	}
	if !in.Promoted {
		t.Errorf("nothing was promoted: %s", in.Reason)
	}
	if newest := in.Trials[0].Newest.Rows; 2*newest > in.Labels+40 {
		t.Errorf("%d of %d rows are the newest block, expected half", newest, in.Labels)
	}
}

// turned reflects the sales from a day on about their mean: what sold well
// sells badly.
func turned(stream *table.Table, from int) *table.Table {
	day := synth.Start.AddDate(0, 0, from).UnixMicro()
	sales := append([]float64{}, stream.Column("sales").Floats...)
	mean := 0.0
	for _, v := range sales {
		mean += v / float64(len(sales))
	}
	for i, at := range stream.Column("date").Times {
		if at >= day {
			sales[i] = 2*mean - sales[i]
		}
	}
	out, err := stream.With(table.Floats("sales", sales))
	if err != nil {
		panic(err)
	}
	return out
}
