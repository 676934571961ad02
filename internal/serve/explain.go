package serve

import "net/http"

// explain answers POST /explain: what /predict would answer, with the
// contribution of each raw column. Nothing is logged and no name is given, so
// that asking why about a row does not count as another row; explain(x) and
// predict(x) agree because they share all but the log.
func (s *Server) explain(_ *http.Request, b *batch) *Problem {
	v := s.holder.live.Load()
	if v == nil {
		return noModel()
	}
	if b.media.tabular() || b.answer.tabular() {
		return problem(http.StatusUnsupportedMediaType, "unsupported-media", "Not explained in this form", "Contributions are asked for and answered in JSON; for files there is `healml predict --explain`.")
	}
	b.answer = mediaJSON
	if p := s.decode(v.plan, b); p != nil {
		return p
	}
	e, err := v.explainer()
	if err != nil {
		return problem(http.StatusNotImplemented, "not-explained", "This model cannot be explained", "%v.", err)
	}
	if _, p := s.compute(v, b); p != nil {
		return p
	}
	values := v.repaired(b)
	n := len(v.plan.cols)
	contributions := make([]float64, len(e.Names()))
	if b.isArray {
		b.out = append(b.out, '[')
	}
	for i := range b.rows {
		if i > 0 {
			b.out = append(b.out, ',')
		}
		e.Explain(contributions, values[i*n:(i+1)*n])
		v.appendExplained(b, i, contributions)
	}
	if b.isArray {
		b.out = append(b.out, ']')
	}
	b.out = append(b.out, '\n')
	return nil
}

// appendExplained appends the answer for row i: the prediction, and then the
// contributions, their bias and their sum, the raw score. A classifier of two
// classes has those of the second; one of more has those of each, by class.
func (v *live) appendExplained(b *batch, i int, contributions []float64) {
	t := v.model.Template
	v.appendPrediction(b, i)
	if id := b.ids[i]; id != "" {
		b.out = appendString(append(b.out, `,"prediction_id":`...), id)
	}
	b.out = append(b.out, v.tail...)
	width := len(t.Columns) + 1
	parts := len(contributions) / width
	part := func(name string, write func(from []float64)) {
		b.out = append(appendString(append(b.out, ','), name), ':')
		if parts == 1 {
			write(contributions)
			return
		}
		for k := range parts {
			b.out = append(b.out, "{,"[min(k, 1)])
			b.out = append(b.out, v.keys[k]...)
			write(contributions[k*width : (k+1)*width])
		}
		b.out = append(b.out, '}')
	}
	if parts == 1 && v.labels != nil {
		b.out = append(append(b.out, `,"explained_class":`...), v.labels[1]...)
	}
	part("contributions", func(from []float64) {
		for k := range t.Columns {
			b.out = append(b.out, "{,"[min(k, 1)])
			b.out = appendFloat(append(appendString(b.out, t.Columns[k].Name), ':'), from[k])
		}
		b.out = append(b.out, '}')
	})
	part("bias", func(from []float64) { b.out = appendFloat(b.out, from[width-1]) })
	part("raw_score", func(from []float64) {
		sum := 0.0
		for _, c := range from {
			sum += c
		}
		b.out = appendFloat(b.out, sum)
	})
	if flags := b.flags(v, i); flags != 0 {
		b.out = appendFlags(append(b.out, `,"flags":`...), flags)
	}
	b.out = append(b.out, '}')
}
