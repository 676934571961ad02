package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/healml/healml/internal/durable"
	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// shopTable is a table with every kind of column, some of which are left out, and
// with values missing.
func shopTable(t *testing.T, rows int) *table.Table {
	t.Helper()
	r := rand.New(rand.NewPCG(8, 9))
	price, size, code, count, open, target := make([]float64, rows), make([]float64, rows), make([]float64, rows), make([]float64, rows), make([]float64, rows), make([]float64, rows)
	region, note, days := make([]string, rows), make([]string, rows), make([]int64, rows)
	for i := range rows {
		price[i], size[i] = 10*r.NormFloat64(), float64(r.IntN(5))
		code[i], count[i], open[i] = float64(r.IntN(40)), float64(i+1), float64(r.IntN(2))
		region[i] = fmt.Sprint("region ", r.IntN(1+i*30/rows)) // new ones appear all the way
		note[i] = fmt.Sprint("note ", i)
		days[i] = int64(i) * 86400e6
		target[i] = float64(int(math.Abs(price[i]))+int(code[i])+len(region[i])) + r.Float64()
		if r.IntN(9) == 0 {
			price[i] = math.NaN()
		}
		if r.IntN(7) == 0 {
			code[i] = math.NaN()
		}
	}
	regions := table.Strings("region", region)
	for i := 0; i < rows; i += 11 {
		regions.Codes[i] = -1
	}
	openColumn := table.Floats("open", open)
	openColumn.Type = table.Bool
	return table.Must(table.Times("day", days), regions, table.Floats("count", count), table.Floats("price", price), table.Floats("y", target),
		table.Floats("size", size), table.Floats("code", code), openColumn, table.Strings("note", note), table.AllMissing("empty", table.Float, rows))
}

// wholeModel is the model of a file that is read as a whole.
func wholeModel(t *testing.T, path string, infer feature.InferOptions, p fit.Params) (*feature.Inferred, []byte) {
	t.Helper()
	data, err := table.Read(path, table.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	inf, err := feature.Infer(data, infer)
	if err != nil {
		t.Fatal(err)
	}
	d := &fit.Data{Label: feature.Labels(data.Column(inf.Target), inf.Classes)}
	for _, ch := range inf.Choices {
		if !ch.Use || ch.Kind == schema.Time || ch.Kind == schema.Text {
			continue
		}
		c := data.Column(ch.Name)
		values := c.Floats
		for _, k := range c.Codes {
			values = append(values, float64(k)) // negative is missing
		}
		d.Names = append(d.Names, ch.Name)
		d.Features = append(d.Features, values)
		d.Categorical = append(d.Categorical, ch.Kind == schema.Categorical)
	}
	ds, err := fit.NewDataset(d, p)
	if err != nil {
		t.Fatal(err)
	}
	return inf, modelText(t, ds, p)
}

func modelText(t *testing.T, ds *fit.Dataset, p fit.Params) []byte {
	t.Helper()
	res, err := fit.TrainDataset(context.Background(), fit.View{Data: ds}, fit.View{}, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := res.Model.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func streamedModel(t *testing.T, path string, infer feature.InferOptions, p fit.Params) (*feature.Inferred, []byte) {
	t.Helper()
	d, err := openFitData(path, nil, infer, p)
	if err != nil {
		t.Fatal(err)
	}
	defer d.src.Close()
	inf, err := d.read()
	if err != nil {
		t.Fatal(err)
	}
	ds, err := d.dataset(inf)
	if err != nil {
		t.Fatal(err)
	}
	return inf, modelText(t, ds, p)
}

// A file that is binned while it is read gives the model of the file that is
// read as a whole, byte for byte, with as many rows as bins are made from, with
// fewer and with more.
func TestFitStreams(t *testing.T) {
	const rows = 20_000
	data := shopTable(t, rows)
	infer := feature.InferOptions{Target: "y", Categorical: []string{"code"}, Drop: []string{"size"}}
	for _, name := range []string{"shop.csv", "shop.parquet", "shop.arrow"} {
		path := filepath.Join(t.TempDir(), name)
		if err := table.Write(path, data); err != nil {
			t.Fatal(err)
		}
		for _, sample := range []int{3000, rows, 200_000} {
			p := fit.Defaults()
			p.NumIterations, p.NumThreads, p.BinConstructSampleCt = 10, 2, sample
			wantInf, want := wholeModel(t, path, infer, p)
			gotInf, got := streamedModel(t, path, infer, p)
			if !reflect.DeepEqual(gotInf, wantInf) {
				t.Errorf("%s, %d sampled: inferred\n%+v, want\n%+v", name, sample, gotInf, wantInf)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s, %d sampled: the models differ", name, sample)
			}
			if !bytes.Contains(got, []byte("feature_names=region price code open\n")) {
				t.Errorf("%s: other features than expected:\n%.400s", name, got)
			}
		}
	}
}

// lateCSV has columns whose type shows in the last rows only, beyond the first
// windows of the file.
func lateCSV(rows int) string {
	var b strings.Builder
	b.WriteString("x,late,huge,y\n")
	for i := range rows {
		late, huge := fmt.Sprint(i%50), fmt.Sprint(i%7)
		if i == rows-3 {
			late = "none of these"
		}
		if i == rows-2 {
			huge = "9007199254740993"
		}
		fmt.Fprintf(&b, "%d.%d%s,%s,%s,%d\n", i%17, i%13, strings.Repeat("0", 40), late, huge, (i%17+i%50)%30)
	}
	return b.String()
}

// Texts after numbers make a column of categories, as when the file is read
// as a whole.
func TestFitTypesThatShowLate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "late.csv")
	publish(t, path, lateCSV(100_000))
	p := fit.Defaults()
	p.NumIterations, p.NumThreads, p.BinConstructSampleCt = 5, 2, 500
	infer := feature.InferOptions{Target: "y", Task: schema.Regression}
	wantInf, want := wholeModel(t, path, infer, p)
	gotInf, got := streamedModel(t, path, infer, p)
	if !reflect.DeepEqual(gotInf, wantInf) || !bytes.Equal(got, want) {
		t.Errorf("the models differ; inferred\n%+v, want\n%+v", gotInf, wantInf)
	}
	for _, ch := range gotInf.Choices {
		if (ch.Kind == schema.Categorical) != (ch.Name != "x") {
			t.Errorf("%s is %s", ch.Name, ch.Kind)
		}
	}
}

func publish(t *testing.T, path, text string) {
	t.Helper()
	err := durable.Publish(path, func(w io.Writer) error {
		_, err := w.Write([]byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Faults late in the file are located, and so is a row without a label.
func TestFitFaults(t *testing.T) {
	long := strings.Repeat("1.5,2\n2.5,3\n", 300_000)
	for _, c := range []struct{ text, want string }{
		{"x,y\n" + long + "1,2,3\n" + long, `f.csv:600002: value "1,2,3": the row has 3 values, the header names 2 columns`},
		{"x,y\n" + long + "1,\n", `:600002: column "y": a label in every row`},
		{"x,y\n", `target "y" has no value`},
	} {
		path := filepath.Join(t.TempDir(), "f.csv")
		publish(t, path, c.text)
		p := fit.Defaults()
		p.BinConstructSampleCt = 100
		err := func() error {
			d, err := openFitData(path, nil, feature.InferOptions{Target: "y"}, p)
			if err != nil {
				return err
			}
			defer d.src.Close()
			inf, err := d.read()
			if err != nil {
				return err
			}
			_, err = d.dataset(inf)
			return err
		}()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
		if errors.Is(err, table.ErrRetyped) {
			t.Error("ErrRetyped came through")
		}
	}
}
