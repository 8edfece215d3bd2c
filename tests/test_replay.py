"""The command `replay` as its user runs it, on the vectors and on what may be wrong with an input."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from monitor.cli import main
from tests import naive, streams
from tests.vectors import Vector, differences, list_vectors, read_results

FILES = ("intervals.csv", "events.csv", "ledger.csv", "rejected.csv")


def run(config: Path, source: Path, out: Path, *options: str) -> int:
    return main(["replay", "--config", str(config), "--input", str(source), "--out", str(out), *options])


@pytest.mark.parametrize("vector", list_vectors(), ids=lambda vector: vector.name)
def test_vectors_are_equal_and_batches_give_the_same_bytes(vector: Vector, tmp_path: Path) -> None:
    for batch in ("200000", "61"):
        assert run(vector.config, vector.input, tmp_path / batch, "--no-horizon", "--batch", batch) == 0
    for name in FILES:
        assert (tmp_path / "200000" / name).read_bytes() == (tmp_path / "61" / name).read_bytes()
    assert differences(read_results(tmp_path / "61"), read_results(vector.expected), with_event_id=False) == []


@pytest.mark.parametrize("batch", [1, 40, 100_000])
def test_horizon_and_bytes_do_not_depend_on_batches(batch: int, tmp_path: Path) -> None:
    case = streams.make_case(77, days=1.0)
    streams.write(case, tmp_path)
    config = tmp_path / "config"
    (config / "monitor.yaml").write_text("revision_horizon_h: 5\n")
    assert run(config, tmp_path / "input.csv", tmp_path / "out", "--batch", str(batch)) == 0
    assert run(config, tmp_path / "input.csv", tmp_path / "again", "--batch", "97") == 0
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    expected = naive.run(config, case.rows, now_ms=case.now_ms, horizon_h=5.0)
    assert sum(row.kind == "too_late" for row in expected.ledger) == sum(
        line.startswith("too_late") for line in (tmp_path / "out" / "ledger.csv").read_text().splitlines()
    )


def test_parquet_csv_and_gzip_give_the_same(tmp_path: Path) -> None:
    vector = list_vectors()[0]
    text = gzip.decompress(vector.input.read_bytes())
    (tmp_path / "plain.csv").write_bytes(text)
    table = pa_csv.read_csv(
        tmp_path / "plain.csv", convert_options=pa_csv.ConvertOptions(column_types={"ts": pa.string()})
    )
    pq.write_table(table, tmp_path / "same.parquet")
    for source in (vector.input, tmp_path / "plain.csv", tmp_path / "same.parquet"):
        assert run(vector.config, source, tmp_path / source.name.replace(".", "_"), "--no-horizon") == 0
    for name in FILES:
        first = (tmp_path / "plain_csv" / name).read_bytes()
        assert first == (tmp_path / "same_parquet" / name).read_bytes()
        assert first == (tmp_path / "input_csv_gz" / name).read_bytes()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ts,device,value\n", "no column quantity"),
        ("", "cannot be read"),
        ("ts,device,quantity,value\n1,2\n", "cannot be read"),
    ],
)
def test_an_input_that_is_none_is_said(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "input.csv"
    source.write_text(text)
    assert run(list_vectors()[0].config, source, tmp_path / "out") == 2
    assert says in capsys.readouterr().err


def test_cells_that_are_no_figures_are_rejected_not_fatal(tmp_path: Path) -> None:
    vector = list_vectors()[0]
    source = tmp_path / "input.csv"
    source.write_text(
        "ts,device,quantity,value\n"
        "2026-10-24T06:00:00Z,b1m0,register,1.5\n"
        "2026-10-24T06:00:00,b1m0,register,1.5\n"
        "yesterday,b1m0,register,1.5\n"
        "99999999999999999999999,b1m0,register,1.5\n"
        ",b1m0,register,1.5\n"
        "2026-10-24T06:01:00Z,b1m0,register,many\n"
        "2026-10-24T06:01:00Z,b1m0,register,\n"
        "2026-10-24T06:01:00Z,b1m0,register,inf\n"
        "2026-10-24T06:01:00Z,b1a0,register,1\n"
        "2026-10-24T06:01:00Z,,register,1\n"
    )
    assert run(vector.config, source, tmp_path / "out", "--no-horizon") == 0
    rejected = dict(line.split(",") for line in (tmp_path / "out" / "rejected.csv").read_text().splitlines()[1:])
    assert rejected == {"bad_time": "4", "bad_value": "3", "unknown_quantity": "1", "unknown_device": "1"}


def test_an_offset_that_did_not_fit_when_the_readings_were_taken_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """North Korea was at UTC+8:30 from 2015 to 2018, and is at UTC+9 today."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text("id: p\ndemand_interval_min: 60\n")
    (tmp_path / "buildings.csv").write_text("id,timezone,policy\nb,Asia/Pyongyang,p\n")
    (tmp_path / "devices.csv").write_text("id,building,kind,max_rate\nm,b,meter,100\n")
    for year, code in (("2016", 2), ("2025", 0)):
        source = tmp_path / f"{year}.csv"
        source.write_text(
            f"ts,device,quantity,value\n{year}-03-01T00:00:00Z,m,register,1\n{year}-03-01T02:00:00Z,m,register,2\n"
        )
        assert run(tmp_path, source, tmp_path / "out", "--no-horizon") == code
    assert "buildings.csv timezone: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "column",
    [pa.array([["2026-10-24T06:00:00Z"]]), pa.array([b"\xff"])],
    ids=["a list", "bytes that are no text"],
)
def test_a_parquet_column_of_another_kind_is_said(
    column: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "input.parquet"
    pq.write_table(pa.table({"ts": column, "device": ["b1m0"], "quantity": ["register"], "value": [1.0]}), source)
    assert run(list_vectors()[0].config, source, tmp_path / "out") == 2
    assert "expected ts as text" in capsys.readouterr().err


def test_nulls_of_a_parquet_file_are_rejected_not_fatal(tmp_path: Path) -> None:
    source = tmp_path / "input.parquet"
    cells = {"ts": [None] * 2, "device": ["b1m0", None], "quantity": ["register"] * 2, "value": ["many", None]}
    pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in cells.items()}), source)
    assert run(list_vectors()[0].config, source, tmp_path / "out") == 0
    assert (tmp_path / "out" / "rejected.csv").read_text() == "reason,count\nbad_value,1\nunknown_device,1\n"


def test_an_output_that_is_no_folder_is_said_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("a file")
    assert run(list_vectors()[0].config, tmp_path / "not-there.csv", tmp_path / "out") == 2
    assert f"{tmp_path / 'out'}: the folder cannot be made" in capsys.readouterr().err


def test_results_that_cannot_be_written_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vector = list_vectors()[0]
    (tmp_path / "out" / "events.csv").mkdir(parents=True)
    assert run(vector.config, vector.input, tmp_path / "out", "--no-horizon") == 1
    assert "events.csv: cannot be written: Is a directory" in capsys.readouterr().err


MINUTE_MS = 60_000
PYONGYANG_PLUS_8_30_MS = 1_439_564_400_000
"""2015-08-14T15:00Z, from when on the offset of Asia/Pyongyang was no multiple of an hour."""
PYONGYANG_PLUS_9_MS = 1_525_446_000_000
"""2018-05-04T15:00Z, from when on it was one again."""


def hourly_site(folder: Path, rows: list[tuple[int, str, float]]) -> None:
    config = folder / "config"
    (config / "policies").mkdir(parents=True)
    (config / "policies" / "p.yaml").write_text("id: p\ndemand_interval_min: 60\n")
    (config / "buildings.csv").write_text("id,timezone,policy\nfar,UTC,p\nb,Asia/Pyongyang,p\n")
    (config / "devices.csv").write_text("id,building,kind\nother,far,meter\nm,b,meter\n")
    lines = [f"{ts_ms},{device},register,{value}\n" for ts_ms, device, value in rows]
    (folder / "input.csv").write_text("ts,device,quantity,value\n" + "".join(lines))


@pytest.mark.parametrize("batch", ["1000", "4"])
@pytest.mark.parametrize(
    ("first_ms", "late_ms"),
    [
        (PYONGYANG_PLUS_9_MS, PYONGYANG_PLUS_9_MS - 240 * MINUTE_MS),
        (PYONGYANG_PLUS_8_30_MS - 6_000 * MINUTE_MS, None),
    ],
    ids=["a late reading before the change", "time goes on over the change"],
)
def test_offset_that_does_not_fit_is_an_error_in_any_batch(
    first_ms: int, late_ms: int | None, batch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(first_ms + n * 240 * MINUTE_MS, "m", 10.0 + n) for n in range(60)]
    hourly_site(tmp_path, [*rows, *([(late_ms, "m", 9.0)] if late_ms else [])])
    assert run(tmp_path / "config", tmp_path / "input.csv", tmp_path / "out", "--no-horizon", "--batch", batch) == 2
    assert "UTC offset of Asia/Pyongyang is +08:30" in capsys.readouterr().err


@pytest.mark.parametrize("batch", ["1000", "4"])
def test_offset_matters_only_where_the_building_is_judged(batch: str, tmp_path: Path) -> None:
    rows = [(PYONGYANG_PLUS_9_MS + n * 15 * MINUTE_MS, "m", 10.0 + n) for n in range(12)]
    elsewhere = [(PYONGYANG_PLUS_9_MS - n * 600 * MINUTE_MS, "other", 1.0) for n in range(12, 0, -1)]
    hourly_site(tmp_path, [*elsewhere, *rows])
    assert run(tmp_path / "config", tmp_path / "input.csv", tmp_path / "out", "--no-horizon", "--batch", batch) == 0
