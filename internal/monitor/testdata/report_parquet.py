"""Holds report.parquet against report.json, with pyarrow and DuckDB; see rows_test.go.

usage: report_parquet.py DIR
"""
import json
import math
import sys
from datetime import datetime

import duckdb
import pyarrow.parquet

folder = sys.argv[1]
path = f"{folder}/report.parquet"
report = json.load(open(f"{folder}/report.json"))
table = pyarrow.parquet.read_table(path)
assert table.column_names == ["column", "role", "kind", "statistic", "value", "threshold", "drift", "detail"], table.column_names
(count,), = duckdb.sql(f"select count(*) from '{path}'").fetchall()
assert count == table.num_rows, (count, table.num_rows)

found = {}
for row in table.to_pylist():
    key = (row["role"], row["column"], row["statistic"], row["detail"] if row["role"] in ("dependence", "segment", "fault", "residual") else None)
    assert key not in found, f"twice: {key}"
    found[key] = row


def expect(role, column, statistic, value, detail=None, key=None, drift=None):
    row = found.pop((role, column, statistic, key))
    got = row["value"]
    if value is None:
        assert got is None, (role, column, statistic, got)
    else:
        assert got is not None and math.isclose(got, value, rel_tol=1e-8, abs_tol=1e-12), (role, column, statistic, got, value)
    if key is None and detail is not None:
        assert row["detail"] == (detail or None), (role, column, statistic, row["detail"], detail)
    if drift is not None:
        assert row["drift"] == drift, (role, column, statistic, row["drift"])


def moment(at):
    return float(at) if at.lstrip("-").isdigit() else datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()


def since(role, column, s):
    if s:
        expect(role, column, "since", moment(s["at"]), detail=s["at"])
        expect(role, column, "since_lo", moment(s["lo"]), detail=s["lo"])
        expect(role, column, "since_hi", moment(s["hi"]), detail=s["hi"])
        expect(role, column, "since_before", float(s["before"]))


for i, name in enumerate(report["ranked"]):
    expect("input", name, "rank", i + 1)
for role, order, columns in (("input", report["order"], report["columns"]), ("prediction", report["prediction_order"], report["prediction"])):
    for name in order:
        c = columns[name]
        assert found[role, name, "p_value", None]["kind"] == c["kind"]
        assert math.isclose(found[role, name, "p_value", None]["threshold"], c["threshold"])
        expect(role, name, "p_value", c["p_value"], detail=c.get("reason", ""), drift=c["drift"])
        for s in ("effect", "psi", "js", "hellinger", "total_variation", "l_infinity", "ks", "wasserstein", "chi_square", "cramer_von_mises", "energy", "mmd", "unseen"):
            expect(role, name, s, c[s])
        for s in ("missing", "mean", "std"):
            if s in c:
                expect(role, name, s + "_then", c[s]["then"])
                expect(role, name, s, c[s]["now"])
        for q in c.get("quantiles", []):
            expect(role, name, f"q{100 * q['q']:g}_then", q["then"])
            expect(role, name, f"q{100 * q['q']:g}", q["now"])
        for t in c["tests"]:
            expect(role, name, "p_" + t["name"], t["p_value"])
        if "change" in c:
            expect(role, name, "change", c["change"]["by"], detail=c["change"]["kind"])
            since(role, name, c["change"].get("since"))
p = report["performance"]
for s, k in (("now", "now"), ("lo", "lo"), ("hi", "hi"), ("then", "then"), ("labelled_rows", "labeled")):
    expect("metric", p["metric"], s, p[k], drift=p["drift"])
for s in ("p_value", "coverage", "lag_p95", "waiting"):
    expect("metric", p["metric"], s, p[s])
if "mature_until" in p:
    expect("metric", p["metric"], "mature_until", moment(p["mature_until"]), detail=p["mature_until"])
for s in p["segments"]:
    for k in ("p_value", "then", "now", "bias", "rows"):
        expect("residual", s["column"], k, s[k], key=s["level"], drift=s["drift"])
if c := p.get("calibration"):
    expect("calibration", p["metric"], "p_value", c["p_value"], drift=c["drift"])
    for s in ("slope", "intercept", "ece"):
        expect("calibration", p["metric"], s + "_then", c[s]["then"])
        expect("calibration", p["metric"], s, c[s]["now"])
e = report["estimate"]
for s in ("now", "lo", "hi", "then", "rows"):
    expect("estimate", e["metric"], s, e[s], drift=e["drift"])
for s in ("checked", "covered", "error"):
    expect("estimate", e["metric"], "record_" + s, e["record"][s])
r = e["record"]
expect("estimate", e["metric"], "proven", float(r["checked"] >= 5 and r["covered"] >= .8 * r["checked"]))
d = report["domain"]
for s in ("p_value", "auc", "lo", "hi", "null", "rows"):
    expect("domain", "", s, d[s], drift=d["drift"])
for w in d["by"]:
    expect("domain", w["column"], "weight", w["weight"])
for d in report["dependence"]:
    assert found["dependence", d["a"], "p_value", d["b"]]["kind"] == d["measure"]
    expect("dependence", d["a"], "p_value", d["p_value"], key=d["b"], drift=d["drift"])
    expect("dependence", d["a"], "dependence_then", d["then"], key=d["b"])
    expect("dependence", d["a"], "dependence", d["now"], key=d["b"])
for s in report["segments"]:
    where = " and ".join(f'{c["column"]} is {json.dumps(c["level"])}' for c in s["where"])
    for k in ("rows", "share", "explains"):
        expect("segment", s["column"], k, s[k], key=where, drift=True)
for f in report["faults"]:
    assert found["fault", f["column"], "fault", f["detail"]]["kind"] == f["kind"]
    expect("fault", f["column"], "fault", f.get("factor"), key=f["detail"])
first = report["first"]
expect("first", "", "drifted_columns", len(first["columns"]), detail=first["version"], drift=first["drift"])
for name in first["columns"]:
    expect("first", name, "drifted", 1, detail=first["version"])
expect("report", "", "rows", report["rows"], drift=report["drift"])
expect("report", "", "reference_rows", report["reference_rows"])
since("report", "", report["since"])
assert not found, f"not in report.json: {list(found)[:5]}"

# The questions of docs/format/report.md.
drifted = {n for n in report["order"] if report["columns"][n]["drift"]}
names = duckdb.sql(f"""select "column" from '{path}' where role = 'input' and statistic = 'psi' and drift""").fetchall()
assert {n for n, in names} == drifted, names
when = duckdb.sql(f"""select "column", detail from '{path}' where role = 'input' and statistic = 'since' order by value""").fetchall()
assert when and when == sorted(when, key=lambda r: r[1]), when
print(count, "rows")
