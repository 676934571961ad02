"""Writes LightGBM 4.7's feature importances of every ../*.txt to importance.json."""
import json
import pathlib
import lightgbm as lgb

here = pathlib.Path(__file__).parent
out = {}
for path in sorted(here.parent.glob("*.txt")):
    m = lgb.Booster(model_file=path)
    out[path.name] = {kind: [float(v) for v in m.feature_importance(kind)] for kind in ["split", "gain"]}
(here / "importance.json").write_text(json.dumps(out, indent=0) + "\n")
