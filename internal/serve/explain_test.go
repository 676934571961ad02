package serve

import (
	"math"
	"testing"
)

// explained is an answer of /explain for one raw score.
type explained struct {
	Predicted     float64            `json:"predicted_sales"`
	Label         string             `json:"predicted_label"`
	Version       string             `json:"model_version"`
	ID            string             `json:"prediction_id"`
	Class         string             `json:"explained_class"`
	Contributions map[string]float64 `json:"contributions"`
	Bias          float64            `json:"bias"`
	Raw           float64            `json:"raw_score"`
	Flags         []string           `json:"flags"`
}

func (e *explained) sum() float64 {
	sum := e.Bias
	for _, v := range e.Contributions {
		sum += v
	}
	return sum
}

func TestExplain(t *testing.T) {
	r := newRig(t, nil)
	w := r.send("POST", "/explain", with(map[string]any{"prediction_id": "why-1", "category": "Garden"}))
	got := decodeJSON[explained](t, w.Body)
	if w.Code != 200 || got.Predicted != 32.25 || got.ID != "why-1" || got.Version != "v1" || len(got.Contributions) != 7 || len(got.Flags) != 1 {
		t.Fatalf("%d: %+v", w.Code, got)
	}
	// Half of the rows that the trees grew on went either way.
	if got.Contributions["price"] != .5 || got.Contributions["promo"] != .125 || got.Contributions["date"] != 0 || got.Bias != 31.625 {
		t.Errorf("contributions are %v with bias %v", got.Contributions, got.Bias)
	}
	if got.sum() != got.Raw || got.Raw != got.Predicted {
		t.Errorf("the sum is %v, the raw score %v, the prediction %v", got.sum(), got.Raw, got.Predicted)
	}
	if many := decodeJSON[[]explained](t, r.send("POST", "/explain", "["+row+","+row+"]").Body); len(many) != 2 || many[1].Raw != 32.25 {
		t.Errorf("two rows: %+v", many)
	}
	if n := len(r.log.records()); n > 0 {
		t.Errorf("%d rows were logged: asking why must not count as a prediction", n)
	}
	if w := r.send("POST", "/explain", with(map[string]any{"price": "dear"})); w.Code != 422 {
		t.Errorf("a bad row: %d", w.Code)
	}
	if w := r.send("POST", "/explain", csvRows, "Content-Type", csvType); w.Code != 415 {
		t.Errorf("CSV: %d", w.Code)
	}
}

// TestExplainClasses explains the second of two classes, and each of more.
func TestExplainClasses(t *testing.T) {
	m := classModel(t, "c2", "no", "yes")
	r := newRig(t, nil, &Candidate{Model: m, Golden: golden(t, m)})
	got := decodeJSON[explained](t, r.send("POST", "/explain", row).Body)
	if got.Class != "yes" || got.Label != "yes" || got.Raw != 1 || got.sum() != 1 {
		t.Errorf("two classes: %+v", got)
	}
	m = classModel(t, "c3", "a", "b", "c")
	r = newRig(t, nil, &Candidate{Model: m, Golden: golden(t, m)})
	three := decodeJSON[struct {
		Contributions map[string]map[string]float64
		Bias          map[string]float64
		Raw           map[string]float64 `json:"raw_score"`
	}](t, r.send("POST", "/explain", row).Body)
	for class, want := range map[string]float64{"a": 1, "b": 2, "c": 3} {
		sum := three.Bias[class]
		for _, v := range three.Contributions[class] {
			sum += v
		}
		if math.Abs(sum-want) > 1e-12 || math.Abs(three.Raw[class]-want) > 1e-12 {
			t.Errorf("class %s: the sum is %v, the raw score %v, expected %v", class, sum, three.Raw[class], want)
		}
	}
}
