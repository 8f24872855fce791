"""The parsers under sanitisers: the kept corpus, more inputs from it, and a fault that has to be found."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bench import FLAGS

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import fuzz_parsers

CORPUS = sorted(fuzz_parsers.CORPUS.glob("*"))
INPUTS = 60_000


@pytest.fixture(scope="module")
def firmware(tmp_path_factory, need_tool):
    """With a whole contract: a ladder, a tumble limit, a policy with memory; and for hot swap."""
    need_tool("cc")
    return fuzz_parsers.write_firmware(tmp_path_factory.mktemp("fuzzed"))


@pytest.fixture(scope="module")
def libfuzzer(need_tool):
    need_tool("clang")


def fuzz(program: Path, inputs: int, corpus: Path) -> subprocess.CompletedProcess[str]:
    """The corpus itself is left as it is."""
    grown = Path(shutil.copytree(corpus, program.parent / "corpus"))
    command = [program, f"-runs={inputs}", f"-max_len={fuzz_parsers.LONGEST}", "-seed=7", grown]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=program.parent, timeout=300)


def test_the_kept_corpus_breaks_no_promise_and_reaches_what_a_board_does(firmware, tmp_path):
    options, infer, parsers = fuzz_parsers.sources(firmware)
    sanitisers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = ["cc", *FLAGS, "-g", "-O2", "-DREPLAY", *sanitisers, *options, *infer, *parsers]
    subprocess.run([*command, "-o", tmp_path / "replay"], check=True)
    ran = subprocess.run([tmp_path / "replay", *CORPUS], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    seen = json.loads(ran.stdout)
    assert seen.pop("inputs") == len(CORPUS)
    assert all(seen.values()), seen


def test_the_corpus_is_small():
    assert 20 <= len(CORPUS) < 200
    assert sum(file.stat().st_size for file in CORPUS) < 200_000


@pytest.mark.usefixtures("libfuzzer")
def test_inputs_made_from_the_corpus_break_no_promise(firmware, tmp_path):
    ran = fuzz(fuzz_parsers.build(firmware, tmp_path / "fuzz"), INPUTS, fuzz_parsers.CORPUS)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert f"Done {INPUTS} runs" in ran.stderr


@pytest.mark.usefixtures("libfuzzer")
@pytest.mark.parametrize(
    ("file", "sound", "broken", "said"),
    [
        ("frame.c", "d->size < d->capacity", "d->size <= d->capacity", "heap-buffer-overflow"),
        ("protocol.c", "ahead == 0u || ahead >= 0x8000u", "ahead >= 0x8000u", "took a stale message"),
        ("swap.c", "&s->contracts[0] ? 1u : 0u", "&s->contracts[0] ? 0u : 1u", "writes into the bank that runs"),
        ("swap.c", "!understood || crc != s->crc", "!understood", "runs what nobody committed"),
    ],
)
def test_a_fault_put_into_a_parser_is_found(firmware, file, sound, broken, said, tmp_path):
    copy = Path(shutil.copytree(firmware, tmp_path / "firmware"))
    text = (copy / "link" / file).read_text()
    assert text.count(sound) == 1
    (copy / "link" / file).write_text(text.replace(sound, broken))
    # one that is found ends it at once; where chance decides when, it has time
    ran = fuzz(fuzz_parsers.build(copy, tmp_path / "fuzz"), 20 * INPUTS, fuzz_parsers.CORPUS)
    assert ran.returncode != 0
    assert said in ran.stderr
