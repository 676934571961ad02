package monitor

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestKeysAreDocumented: the format's page names every key of a report, every
// kind of change and every role of the table.
func TestKeysAreDocumented(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "format", "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	names := []string{ShiftChange, ScaleChange, UnitChange, ClipChange, FrozenChange, MissingChange, EmptyChange, AbsentChange, TypeChange, NewLevelChange, LostLevelChange, RenamedChange, ShareChange, ShapeChange,
		inputRole, predictionRole, metricRole, residualRole, lineRole, estimateRole, domainRole, dependenceRole, segmentRole, faultRole, firstRole, reportRole}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem())
		case reflect.Struct:
			if seen[typ] {
				return
			}
			seen[typ] = true
			for i := range typ.NumField() {
				name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
				if name == "" {
					t.Errorf("%s.%s has no key", typ, typ.Field(i).Name)
				}
				names = append(names, name)
				walk(typ.Field(i).Type)
			}
		}
	}
	walk(reflect.TypeFor[Report]())
	if len(names) < 80 {
		t.Fatalf("%d names", len(names))
	}
	for _, name := range names {
		if !strings.Contains(doc, "`"+name+"`") && !strings.Contains(doc, "."+name+"`") {
			t.Errorf("docs/format/report.md does not name %q", name)
		}
	}
}

// TestKindsAreExplained: the guide has the word of every kind of change and a
// cure for every kind of fault.
func TestKindsAreExplained(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "drift.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, changes, _ := strings.Cut(string(b), "### Kinds of change")
	changes, _, _ = strings.Cut(changes, "###")
	_, faults, _ := strings.Cut(string(b), "## What each fault means")
	faults, _, _ = strings.Cut(faults, "\n## ")
	for _, k := range kindWords() {
		whole := k.kind == "volume" || k.kind == "disorder" || k.kind == "duplicated"
		if !whole && (!strings.Contains(changes, "`"+k.kind+"`") || !strings.Contains(changes, k.word)) {
			t.Errorf("docs/drift.md does not explain the change %q, %s", k.kind, k.word)
		}
		if k.cure != "" && !strings.Contains(faults, "`"+k.kind+"`") {
			t.Errorf("docs/drift.md has no cure for the fault %q", k.kind)
		}
	}
}
