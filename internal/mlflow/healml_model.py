"""Lets MLflow load a healml model version and predict from raw columns.

MLflow calls _load_pyfunc with the version's directory. From it come
template.json, which says what the raw columns are and how features derive
from them, and model.lgb, the trees in LightGBM's text format. The steps here
are those of healml's own encoder, so both give the same predictions.

A column may come in whatever type pandas gave it:

  numeric      numbers, booleans, texts that hold a number
  boolean      booleans, 0 and 1; the texts true, false, t and f in any case
  categorical  texts; numbers and booleans by the text they stand for (1 and
               1.0 for "1", True for "true")
  time         datetimes (without a zone: UTC), dates, texts such as
               2024-01-31, 2024-01-31T17:45:00Z, 1/31/2024 5:45 PM
  text         anything: such a column is never read and may be absent

None, NaN, NaT and the texts "", NA, N/A, NULL, null, NaN, nan and ? are
missing values. Blanks around a text do not count, except in a category.
"""

import datetime
import json
import os
import re

import lightgbm
import numpy
import pandas

NEWEST_FORMAT = 1
MISSING = {"", "NA", "N/A", "NULL", "null", "NaN", "nan", "?"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.ASCII | re.IGNORECASE)
TRUTH = {"true": 1.0, "t": 1.0, "false": 0.0, "f": 0.0}
CLOCK = r"(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[ Tt]" + CLOCK + r"(?: ?(?:Z|z|UTC|([+-])(\d\d):?(\d\d)?))?)?", re.ASCII
)
SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?: " + CLOCK + r"(?: ?([AaPp])[Mm])?)?", re.ASCII)
EPOCH = datetime.datetime(1970, 1, 1)
MICROSECOND = datetime.timedelta(microseconds=1)


def _load_pyfunc(path):
    """The entry point that MLflow calls; path is the version's directory."""
    return Model(path)


class Model:
    """A model version: raw columns in, predictions out."""

    def __init__(self, path):
        with open(os.path.join(path, "template.json"), encoding="utf-8") as f:
            self.template = json.load(f)
        if self.template["format"] > NEWEST_FORMAT:
            raise ValueError(
                f"template.json has format {self.template['format']}, this loader reads up to {NEWEST_FORMAT}"
            )
        self.booster = lightgbm.Booster(model_file=os.path.join(path, "model.lgb"))

    def predict(self, data, params=None):
        """Predicts every row of a DataFrame (or a list or dict that makes one).

        Returns an array: the values of a regression, the class labels
        otherwise. With params={"probabilities": True} a classifier returns a
        DataFrame with predicted_<target> and p_<class> for each class.
        """
        features = self.features(data if isinstance(data, pandas.DataFrame) else pandas.DataFrame(data))
        task, classes = self.template["task"], self.template.get("classes") or []
        if len(features):
            out = self.booster.predict(features)
        else:
            out = numpy.empty((0, len(classes)) if task == "multiclass" else 0)
        if task == "regression":
            return out
        if task == "binary":
            out = numpy.column_stack([1 - out, out])
        labels = numpy.array(classes, dtype=object)[out.argmax(axis=1)]
        if not (params or {}).get("probabilities", False):
            return labels
        columns = {"predicted_" + self.template["target"]: labels}
        columns.update(("p_" + c, out[:, i]) for i, c in enumerate(classes))
        return pandas.DataFrame(columns)

    def features(self, frame):
        """The features of a frame of raw columns, one row each, as float64."""
        columns = self.template["columns"]
        absent = [c["name"] for c in columns if c["name"] not in frame and c["kind"] != "text"]
        if absent:
            raise ValueError(f"columns are missing: {', '.join(absent)}")
        raw = {c["name"]: _raw(c, frame[c["name"]]) for c in columns if c["kind"] != "text"}
        out = numpy.empty((len(frame), len(self.template["features"])))
        for i, f in enumerate(self.template["features"]):
            values = raw[f["source"]]
            out[:, i] = values if f["op"] in ("value", "level") else _calendar(f["op"], values)
        return out


def _raw(column, series):
    """A column as float64 (times as datetime64[us]); missing is NaN (NaT)."""
    kind, name = column["kind"], column["name"]
    if kind == "time":
        return _times(name, series)
    if kind == "categorical":
        codes = {level: float(i) for i, level in enumerate(column.get("levels") or [])}
        return _each(series, lambda v: codes.get(_text(v), -1.0))
    if kind == "numeric" and series.dtype.kind in "biuf":
        return series.to_numpy(dtype=numpy.float64, na_value=numpy.nan)
    parse = _number if kind == "numeric" else _truth
    return _each(series, lambda v: parse(name, v))


def _each(series, convert):
    """Applies convert to the values of a series that are not missing."""
    seen = {}
    out = numpy.full(len(series), numpy.nan)
    for i, v in enumerate(series):
        if isinstance(v, str):
            if v not in seen:
                seen[v] = numpy.nan if v.strip(" \t") in MISSING else convert(v)
            out[i] = seen[v]
        elif not pandas.isna(v):
            out[i] = convert(v)
    return out


def _number(name, v):
    if isinstance(v, str) and not NUMBER.fullmatch(v.strip(" \t")):
        raise ValueError(f"column {name!r} holds {v!r}, expected a number")
    return float(v)


def _truth(name, v):
    if isinstance(v, str) and (truth := TRUTH.get(v.strip(" \t").lower())) is not None:
        return truth
    number = _number(name, v)
    if number not in (0, 1):
        raise ValueError(f"column {name!r} holds {v!r}, expected true or false")
    return number


def _text(v):
    """The text that a category's value stands for."""
    if isinstance(v, (bool, numpy.bool_)):
        return "true" if v else "false"
    if isinstance(v, (float, numpy.floating)) and numpy.isfinite(v):
        v = float(v)
        if v != 0 and not 1e-5 <= abs(v) < 2**53:
            return numpy.format_float_scientific(v, trim="-", exp_digits=2)
        return numpy.format_float_positional(v, trim="-")
    return str(v)


def _times(name, series):
    """A series as datetime64[us] in UTC."""
    if series.dtype.kind == "M":
        if getattr(series.dtype, "tz", None) is not None:
            series = series.dt.tz_convert("UTC").dt.tz_localize(None)
        return series.to_numpy().astype("datetime64[us]")
    out = numpy.full(len(series), "NaT", dtype="datetime64[us]")
    for i, v in enumerate(series):
        if isinstance(v, str):
            if v.strip(" \t") not in MISSING:
                out[i] = _parse_time(name, v.strip(" \t"))
        elif isinstance(v, datetime.datetime) and not pandas.isna(v):
            if v.tzinfo is not None:
                v = v.astimezone(datetime.timezone.utc).replace(tzinfo=None)
            out[i] = numpy.datetime64(v, "us")
        elif isinstance(v, datetime.date) and not pandas.isna(v):
            out[i] = numpy.datetime64(v, "us")
        elif not pandas.isna(v):
            raise ValueError(f"column {name!r} holds {v!r}, expected a time")
    return out


def _parse_time(name, s):
    """A time from a text, in the forms that healml reads."""
    wrong = ValueError(f"column {name!r} holds {s!r}, expected a time such as 2024-01-31T17:45:00Z")
    east = datetime.timedelta()
    if m := ISO.fullmatch(s):
        year, month, day, hour, minute, second, fraction, sign, zh, zm = m.groups()
        if sign:
            if int(zh) > 23 or int(zm or 0) > 59:
                raise wrong
            east = datetime.timedelta(hours=int(zh), minutes=int(zm or 0))
            east = -east if sign == "-" else east
    elif m := SLASHED.fullmatch(s):
        month, day, year, hour, minute, second, fraction, half = m.groups()
        if half:
            if not 1 <= int(hour) <= 12:
                raise wrong
            hour = int(hour) % 12 + (12 if half in "Pp" else 0)
    else:
        raise wrong
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        t = datetime.datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micros)
    except ValueError:
        raise wrong from None
    # Through whole microseconds: a zone may lead out of datetime's years.
    return numpy.datetime64((t - EPOCH) // MICROSECOND - east // MICROSECOND, "us")


def _calendar(op, times):
    """One part of UTC times as float64; NaN for NaT."""
    days = times.astype("datetime64[D]")
    if op == "hour":
        part = (times - days).astype(numpy.int64) // 3_600_000_000
    elif op == "weekday":
        part = (days.astype(numpy.int64) + 4) % 7  # 1970-01-01 was a Thursday
    elif op == "month":
        part = times.astype("datetime64[M]").astype(numpy.int64) % 12 + 1
    elif op == "day":
        part = (days - times.astype("datetime64[M]")).astype(numpy.int64) + 1
    elif op == "yearday":
        part = (days - times.astype("datetime64[Y]")).astype(numpy.int64) + 1
    else:
        raise ValueError(f"unknown calendar operation {op!r}")
    return numpy.where(numpy.isnat(times), numpy.nan, part)
