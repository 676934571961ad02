package test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const rules = "../prometheus/healml.rules.yaml"

// TestRules has promtool check the rules and run their cases.
func TestRules(t *testing.T) {
	promtool := os.Getenv("HEALML_PROMTOOL")
	if promtool == "" {
		t.Skip("promtool is not to be had")
	}
	for _, args := range [][]string{{"check", "config", "prometheus.yaml"}, {"check", "rules", "healml.rules.yaml"}, {"test", "rules", "healml.rules.test.yaml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = filepath.Dir(rules)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestRulesNameRealMetrics finds every metric of the rules and of the dashboard in
// the source that makes it, so that none is renamed under them.
func TestRulesNameRealMetrics(t *testing.T) {
	b, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	dashboard, err := os.ReadFile("../docker/grafana/healml.json")
	if err != nil || !json.Valid(dashboard) {
		t.Fatalf("the dashboard is no JSON: %v", err)
	}
	var source bytes.Buffer
	for _, dir := range []string{"../../internal", "../../cmd"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			source.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// The textfile puts its names together from a part and a suffix.
	names := regexp.MustCompile(`\b(healml|http)_[a-z0-9_]+`).FindAllString(string(b)+string(dashboard), -1)
	if len(names) < 20 {
		t.Fatalf("%d metrics were found in the rules", len(names))
	}
	for _, name := range names {
		name = strings.TrimSuffix(name, "_bucket")
		if !bytes.Contains(source.Bytes(), []byte(`"`+name+`"`)) && !bytes.Contains(source.Bytes(), []byte(`"`+strings.TrimPrefix(name, "healml_")+`"`)) {
			t.Errorf("no source makes %s", name)
		}
	}
	if alerts := strings.Count(string(b), "- alert:"); alerts != strings.Count(string(b), "description:") || alerts != strings.Count(string(b), "severity:") {
		t.Errorf("of %d alerts some do not say what to do, or how urgent they are", alerts)
	}
}
