"""What reading a large table needs, in a process of its own."""

import csv
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = 1_000_000
READ = """
from pathlib import Path
from pipelines.data.tables import Columns, read

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

before = peak()
table = read("large", ["large.csv"], Columns())
rows = sum(len(batch) for batch in table.texts())
print(rows, peak() - before)
"""


@pytest.mark.long
def test_a_million_rows_take_no_more_memory_than_half_again_their_file(tmp_path: Path) -> None:
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(5000)]
    with (tmp_path / "large.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        rows.writerows([" ".join(draw.choices(words, k=17)), "xyz"[i % 3]] for i in range(ROWS))
    command = [sys.executable, "-c", READ]
    result = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    read, used = map(int, result.stdout.split())
    assert read == ROWS
    assert used <= 1.5 * (tmp_path / "large.csv").stat().st_size
