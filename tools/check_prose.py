#!/usr/bin/env python3
"""Refuses phrases that readers of this project did not understand. `make lint` runs it.

Many readers of help, errors, comments and documents are in a hurry, and English is often not their first language. Each phrase below
stood in this repository: a riddle (an inverted negative, a literary inversion, an "it" without a noun) or wrong English. Write
what happens, then what to do. To add a phrase, add a line with an example and its replacement.

    tools/check_prose.py            checks all text files in git, except tests and the changelog
    tools/check_prose.py FILE…      checks these files
    tools/check_prose.py --test     checks the list itself: each pattern finds its example and accepts its replacement
"""

import pathlib
import re
import subprocess
import sys

# Pattern, an example, a replacement.
PHRASES = [
    (r"\bfor for\b", "is not waited for for ever", "cannot block the queue indefinitely"),
    (r"\bfor ever\b", "keeps its place for ever", "keeps its place indefinitely"),
    (r"\bnot waited for\b", "an answer that is not waited for", "an answer without a receiver"),
    (r"\bthat (is|are) none\b", "for an image that is none", "if the data is not a valid image"),
    (r"(?<!there )\b(is|are) none\b(?! (of|that))", "0 frames are none", "capacity must be at least 1"),
    (r"(?<!if )(?<!why )\bthere (is|are) none\b", "`sized` needs a calibration, and there is none", "`sized` needs a calibrated package"),
    (r"\bgraver\b", "lines of the level and graver", "lines of this level and more severe ones"),
    (r"\bnot told by\b", "Not told by any file, and taken as published", "Not stored in the checkpoint; the published default is used"),
    (r"\btaken for granted\b", "the order is taken for granted", "the order is assumed"),
    (r"\bthan there (is|are) to\b|\bas there is to\b", "once it has seen as much as there is to see", "after warm-up at the largest input"),
    (r"\bwho waits for\b", "Who waits for an answer", "Receives the result"),
    (r"\bbe had\b", "when the device is not to be had", "if the device is not available"),
    (r"\bnot to be trusted\b", "the numbers are not to be trusted", "do not trust the numbers"),
    (r"\bwithout a word\b", "is passed over without a word", "is silently ignored"),
    (r"\bin vain\b", "places looked at in vain", "places without a usable library"),
    (r"\bmade anywhere\b", "latents made anywhere", "latents from any network"),
    (r"\bvary as one\b", "pixels that vary as one", "pixels that vary together"),
    (r"\bthe very (network|same|image|one)", "must be the very network", "must be the network"),
    (r"\bits own matter\b", "is its own matter", "is not under test"),
    (r"\bin .{1,30}'s stead\b", "in another place's stead", "instead"),
    (r"\bgoes by\b", "what a run goes by", "the options of a run"),
    (r"\bknows nothing of\b", "this module knows nothing of networks", "this module does not depend on networks"),
    (r"\bwhat is to be\b", "what is to be known about it", "notes"),
    (r"\bhow that went\b", "streams frames and says how that went", "streams frames and reports loss and latency"),
    (r"\bbeside other work\b", "two cores beside other work", "two cores with other work running"),
    (r"\bwithout saying\b", "where it goes without saying", "where the value is always 0"),
]
SUFFIXES = {".rs", ".md", ".py", ".sh", ".proto", ".h", ".hpp", ".c", ".cpp", ".toml", ".yaml", ".slurm", ".html", ".in", ".txt", ".json", ".svg"}
PATTERNS = [(re.compile(pattern, re.IGNORECASE), replacement) for pattern, _, replacement in PHRASES]


def tracked():
    """The files to check: text in git, without tests, the changelog, and this list."""
    names = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout.splitlines()
    for path in map(pathlib.Path, names):
        named = path.suffix in SUFFIXES or path.name in ("Makefile", "run")
        if named and "tests" not in path.parts and path.name not in ("CHANGELOG.md", "check_prose.py"):
            yield path


def check(path):
    """Prints the phrases in a file and returns their number."""
    found = 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = line.replace("None", "")  # the word of Rust and Python
        for pattern, replacement in PATTERNS:
            match = pattern.search(line)
            if match:
                print(f"{path}:{number}: `{match.group(0)}` is hard to understand; write for example: {replacement}")
                found += 1
    return found


def test():
    """Fails if a pattern misses its example or finds its replacement."""
    for pattern, example, replacement in PHRASES:
        assert re.search(pattern, example, re.IGNORECASE), (pattern, example)
        assert not any(other.search(replacement) for other, _ in PATTERNS), replacement


def main():
    if sys.argv[1:] == ["--test"]:
        test()
        return 0
    paths = [pathlib.Path(name) for name in sys.argv[1:]] or list(tracked())
    found = sum(check(path) for path in paths)
    if found:
        print(f"{found} phrases to rewrite; the list and its reasons are in {sys.argv[0]}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
