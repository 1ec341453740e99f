"""The memory that reading a large table needs, in a process of its own."""

import csv
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = 1_000_000
PEAK = """
from pathlib import Path

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
"""
READ = """
from pipelines.data.tables.scan import Columns, read

before = peak()
table = read("large", ["large.csv"], Columns())
rows = sum(len(batch) for batch in table.texts())
print(rows, peak() - before)
"""


LOAD = """
from conf.schema import Data
from pipelines.data.dataset import load

before = peak()
data = load(name="large", settings=Data(files=["large.csv"], num_words=10_000, maxlen=32))
print(sum(len(part.y) for part in data[:3]), peak() - before)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of a million rows."""
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(5000)]
    path = tmp_path_factory.mktemp("large") / "large.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        rows.writerows([" ".join(draw.choices(words, k=17)), "xyz"[i % 3]] for i in range(ROWS))
    return path


@pytest.mark.long
@pytest.mark.parametrize(("script", "times"), [(READ, 1.5), (LOAD, 3)], ids=["read", "encoded"])
def test_a_million_rows_take_memory_in_proportion_to_their_file(large: Path, script: str, times: float) -> None:
    environment = {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(large.parent)}
    command = [sys.executable, "-c", PEAK + script]
    result = subprocess.run(command, cwd=large.parent, env=environment, capture_output=True, text=True, check=True)
    rows, used = map(int, result.stdout.split())
    assert rows == ROWS
    assert used <= times * large.stat().st_size
