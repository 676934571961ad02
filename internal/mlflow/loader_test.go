package mlflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/testdata"
)

// texts are what people write into files, right and wrong.
var texts = []string{
	"", " ", "NA", " NA\t", "N/A", "NULL", "null", "NaN", "nan", "?", "None", "Nan", "NAN", "none",
	"0", "1", "-1", "+1", "1.", ".5", ".", "-.5e3", "1e5", "1E-3", "1e400", "-1e400", "1e", "1_000", "1,5", " 7 ", "0x10", "١",
	"inf", "-Infinity", "infinit", "1.0", "0.0", "2", "9007199254740993", "123456789012345678901234567890", "0.1234567890123456789",
	"true", "FALSE", "T", "f", " True", "yes", "tru",
	"2024-02-29", "2023-02-29", "1900-02-29", "2000-02-29", "1969-12-31", "0001-01-01", "9999-12-31", "0000-01-01", "2024-13-01", "2024-00-10",
	"2024-1-1", "2024-01-31T17:45", "2024-01-31 17:45:09", "2024-01-31t17:45:09.123456", "2024-01-31T17:45:09.1234567Z", "2024-01-31T7:45",
	"2024-01-31T17:45:09,5", "2024-01-31T17:45:09.", "2024-01-31T24:00", "2024-01-31T17:60", "2024-01-31T17:45:60", "2024-01-31T17",
	"2024-01-31T17:45Z", "2024-01-31T17:45 z", "2024-01-31T17:45 UTC", "2024-01-31T17:45utc", "2024-01-31Z", "2024-01-31T17:45+0530",
	"2024-01-31T17:45+05:30", "2024-01-31T17:45 -08", "2024-01-31T17:45+24:00", "2024-01-31T17:45+05:60", "2024-01-31T17:45+5", "0001-01-01T00:00+05:00",
	"9999-12-31T23:59:59.999999-01:00", "2024-01-31T17:45 ", "2024-01-31T", "2024-01-31x", "2024/01/31", "20240131",
	"1/31/2024", "01/31/2024", "31/1/2024", "2/29/2023", "1/31/24", "1/31/2024 17:45", "1/31/2024 5:45 PM", "1/31/2024 12:05 am", "1/31/2024 12:05pm",
	"1/31/2024 0:05 am", "1/31/2024 13:05 pm", "1/31/2024 5:45:06.5 PM", "1/31/2024 5:45 XM", "1/31/2024 5:45Z", "1/31/2024T5:45", "1/31/2024 ",
}

// numbers are categories that came as numbers.
var numbers = []float64{0, 1, -1, 3.5, 0.1, 12345678.25, 1e-5, 9.99e-6, 1.5e-7, 1 << 53, 1<<53 - 1, 1e15, 1e16, 1e17, 1.5e300, math.Copysign(0, -1), 5e-324, 1.0 / 3}

// The loader reads every text as healml's own reader does.
func TestLoaderReadsAsTable(t *testing.T) {
	var spelled []string // JSON does not tell 1 from 1.0
	for _, v := range numbers {
		spelled = append(spelled, strconv.FormatFloat(v, 'g', -1, 64))
	}
	request, err := json.Marshal(map[string]any{"texts": texts, "numbers": spelled})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(testdata.Python(t), "testdata/loader_read.py", ".")
	cmd.Env = append(cmd.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stdin = bytes.NewReader(request)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var got struct{ Numeric, Boolean, Time, Category []string }
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for i, s := range texts {
		for _, c := range []struct {
			typ table.Type
			got string
		}{{table.Float, got.Numeric[i]}, {table.Bool, got.Boolean[i]}, {table.Time, got.Time[i]}} {
			if want := read(t, s, c.typ); !same(c.got, want) {
				t.Errorf("%q as %s: the loader gives %s, expected %s", s, c.typ, c.got, want)
			}
		}
	}
	for i, v := range numbers {
		if want := table.Floats("x", numbers).Format(i); got.Category[i] != want {
			t.Errorf("%v as a category: the loader gives %q, expected %q", v, got.Category[i], want)
		}
	}
}

// same compares two readings, numbers by their bits.
func same(a, b string) bool {
	x, errA := strconv.ParseFloat(a, 64)
	y, errB := strconv.ParseFloat(b, 64)
	if errA != nil || errB != nil {
		return a == b
	}
	return math.Float64bits(x) == math.Float64bits(y)
}

// read is what table makes of a text in a CSV file.
func read(t *testing.T, s string, typ table.Type) string {
	t.Helper()
	file := "x,y\n\"" + s + "\",1\n"
	tab, err := table.ReadCSV("x", strings.NewReader(file), table.ReadOptions{Types: map[string]table.Type{"x": typ}})
	var bad *table.Error
	if errors.As(err, &bad) {
		return "refused"
	}
	if err != nil {
		t.Fatal(err)
	}
	c := tab.Column("x")
	switch {
	case c.Missing(0):
		return "missing"
	case typ == table.Time:
		return strconv.FormatInt(c.Times[0], 10)
	}
	return strconv.FormatFloat(c.Floats[0], 'g', -1, 64)
}
