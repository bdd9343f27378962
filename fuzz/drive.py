"""`python -m fuzz.drive TARGET FOLDER SECONDS`: one target under atheris. Run by `__main__`, in the environment that
has atheris.

FOLDER keeps the corpus between runs, and gets a `crash-…` file for a find, or `slow-unit-…`, or `timeout-…`.
"""

import importlib
import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

ONE_INPUT_S = 10


def main(name: str, folder: Path, seconds: int) -> None:
    """Does not return: libFuzzer ends the process, with status 0 when nothing was found."""
    folder.mkdir(parents=True, exist_ok=True)
    # The target's module is imported first in a plain way for its list of modules, then again with counters in them.
    modules = importlib.import_module(f"fuzz.{name}").TARGET.modules
    for loaded in [module for module in sys.modules if module.startswith(("fuzz.", "shared.", "services."))]:
        if loaded != "fuzz.drive":
            del sys.modules[loaded]
    with atheris.instrument_imports(include=[*modules, "fuzz"]):
        target = importlib.import_module(f"fuzz.{name}").TARGET
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = folder / "words.dict"
    words.write_text("".join(f'"{_escape(word)}"\n' for word in target.words), "ascii")
    options = {
        "max_total_time": seconds,
        "max_len": target.max_bytes,
        "timeout": ONE_INPUT_S,
        "dict": words,
        "artifact_prefix": f"{folder}/",
        "print_final_stats": 1,
    }
    atheris.Setup([sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(corpus)], target.check)
    atheris.Fuzz()


def _escape(word: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in word)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
