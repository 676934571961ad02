package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/healml/healml/internal/table"
)

// TestImport publishes models that LightGBM trained, puts them in force, and
// gets LightGBM's predictions from raw rows; with the template of the version
// that this made, the same again.
func TestImport(t *testing.T) {
	models, err := filepath.Glob("testdata/foreign/*.txt")
	if err != nil || len(models) < 4 {
		t.Fatalf("%d foreign models: %v", len(models), err)
	}
	for _, path := range models {
		t.Run(filepath.Base(path), func(t *testing.T) {
			root, data := t.TempDir(), strings.TrimSuffix(path, "txt")+"csv"
			healml := func(args ...string) {
				t.Helper()
				var msg bytes.Buffer
				if code := run(context.Background(), append([]string{"--root", root, "--quiet"}, args...), nil, &msg, &msg); code != exitDone {
					t.Fatalf("healml %s ended with %d: %s", strings.Join(args, " "), code, &msg)
				}
			}
			check := func(version string) {
				t.Helper()
				healml("models", "promote", version)
				healml("models", "verify", version)
				out := filepath.Join(root, "out.csv")
				healml("predict", data, "--out", out, "--explain")
				compareWithLightGBM(t, data, out)
			}
			healml("models", "import", path, "--data", data, "--target", "y")
			first := versionsOf(t, root)[0]
			check(first)
			healml("models", "import", path, "--data", data, "--template", filepath.Join(root, "exported_model", first, "template.json"))
			check(versionsOf(t, root)[1])
			if a, b := first[5:], versionsOf(t, root)[1][5:]; a != b {
				t.Errorf("by data the model is %s, by template %s", a, b)
			}
		})
	}
}

func versionsOf(t *testing.T, root string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "exported_model", "v*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	slices.Sort(found)
	return found
}

// compareWithLightGBM compares a file of predictions with the columns
// expected… of data.
func compareWithLightGBM(t *testing.T, data, predicted string) {
	t.Helper()
	want, err := table.Read(data, table.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := table.Read(predicted, table.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, c := range want.Columns() {
		class, ok := strings.CutPrefix(c.Name, "expected")
		if !ok {
			continue
		}
		name := "p" + class
		switch {
		case class == "" && got.Column("p_1") != nil:
			name = "p_1"
		case class == "":
			name = "predicted_y"
		}
		for i, v := range c.Floats {
			if g := got.Column(name).Floats[i]; math.Abs(g-v) > 1e-12*math.Abs(v) {
				t.Fatalf("row %d: %s is %v, LightGBM says %v", i+1, name, g, v)
			}
			compared++
		}
	}
	if compared < 60 {
		t.Fatalf("%d values compared", compared)
	}
}

// TestImportReadsLists: which columns pandas' lists of categories belong to is
// found by the data where the model leaves it open.
func TestImportReadsLists(t *testing.T) {
	b, err := os.ReadFile("testdata/foreign/pandas.txt")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	path := filepath.Join(root, "m.txt")
	for _, c := range []struct {
		old, new string
		code     int
		say      string
	}{
		{"[categorical_feature: 3]", "[categorical_feature: 2,3]", exitDone, ""}, // city is one, too: plan is the text
		{"[categorical_feature: 3]", "[categorical_feature: ]", exitDone, ""},
		{`[["basic", "pro", "team", "zen"]]`, `[["basic", "pro", "team", "zen"], ["x"]]`, exitData, "2 columns"},
		{`[["basic", "pro", "team", "zen"]]`, `[["basic", "basic"]]`, exitData, "comes twice"},
		{`[["basic", "pro", "team", "zen"]]`, `[["basic", {}]]`, exitData, "expected a text"},
		{`[["basic", "pro", "team", "zen"]]`, `"basic"`, exitData, "pandas_categorical"},
		{`[["basic", "pro", "team", "zen"]]`, `null`, exitData, `"plan" holds strings`},
	} {
		text := strings.Replace(string(b), c.old, c.new, 1)
		if text == string(b) {
			t.Fatalf("%q is not in the model", c.old)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var msg bytes.Buffer
		code := run(context.Background(), []string{"--root", root, "models", "import", path, "--data", "testdata/foreign/pandas.csv", "--target", "y"}, nil, &msg, &msg)
		if code != c.code || !strings.Contains(msg.String(), c.say) {
			t.Errorf("%s: %d, expected %d and %q: %s", c.new, code, c.code, c.say, fmt.Sprint(&msg))
		}
	}
}
