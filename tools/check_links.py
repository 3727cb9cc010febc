#!/usr/bin/env python3
"""Checks the links between this repository's documents, without a network. `make docs` runs it.

    tools/check_links.py            checks the documents of the repository
    tools/check_links.py --test     checks this script on made-up documents

A link is right if its file exists and, where it names an anchor, that file has a heading for it. Pages of the book link to each other by file
name, and to other files of the repository by their address at `REPOSITORY`: relative links out of docs/src are broken in the finished book.
Each page of the book must be in SUMMARY.md, once.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
REPOSITORY = re.compile(r"https://github\.com/uflow-rs/uflow/(?:blob|tree)/main/")
BOOK = "docs/src"
FENCE = re.compile(r"^( *)(```|~~~)[^\n]*\n.*?^\1\2 *$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^()\s<>]+(?:\([^()\s]*\))?)>?(?: \"[^\"]*\")?\)")
SOURCE = re.compile(r"<(?:img|a|source)\b[^>]*?\b(?:src|href|srcset)=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6} +(.+?) *#* *$", re.MULTILINE)
EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:")


def prose(text):
    """The text with code blocks blanked, so that line numbers stay."""
    return FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


def slug(heading):
    """The anchor of a heading, as GitHub and mdBook make it."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return "".join(c for c in words.strip().lower().replace(" ", "-") if c.isalnum() or c in "-_")


def anchors(path):
    found = set()
    for heading in HEADING.findall(prose(path.read_text(encoding="utf-8"))):
        name, number = slug(heading), 0
        while (name if number == 0 else f"{name}-{number}") in found:
            number += 1
        found.add(name if number == 0 else f"{name}-{number}")
    return found


def links(path):
    """Line numbers and targets of a document's links."""
    text = CODE.sub("", prose(path.read_text(encoding="utf-8")))
    for pattern in (LINK, SOURCE):
        for match in pattern.finditer(text):
            yield text.count("\n", 0, match.start()) + 1, match[1]


def problem(root, path, target):
    """What is wrong with a link, or None."""
    in_book = path.is_relative_to(root / BOOK)
    inside = REPOSITORY.match(target)
    if not inside and EXTERNAL.match(target):
        return None
    name, _, anchor = target[inside.end() if inside else 0 :].partition("#")
    file = (root if inside else path.parent) / name if name else path
    if not file.exists():
        return "there is no such file"
    if not inside and not file.resolve().is_relative_to(root / BOOK if in_book else root):
        return "leaves the book; write its address at GitHub" if in_book else "leaves the repository"
    if anchor and not (file.suffix == ".md" and anchor in anchors(file)):
        return "there is no such heading"
    return None


def missing_in_summary(root):
    summary = root / BOOK / "SUMMARY.md"
    listed = [target.partition("#")[0] for _, target in links(summary)]
    for page in sorted((root / BOOK).rglob("*.md")):
        count = listed.count(page.relative_to(root / BOOK).as_posix())
        if page != summary and count != 1:
            yield f"{page.relative_to(root)}: is {count} times in SUMMARY.md; it must be there once"


def check(root, documents):
    """The problems of some documents, one line each."""
    for path in documents:
        for line, target in links(path):
            wrong = problem(root, path, target)
            if wrong:
                yield f"{path.relative_to(root)}:{line}: `{target}`: {wrong}"
    yield from missing_in_summary(root)


def documents():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], check=True, capture_output=True, text=True, cwd=ROOT)
    return [path for path in (ROOT / name for name in listed.stdout.splitlines()) if path.exists()]


def test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()
        (root / BOOK).mkdir(parents=True)
        (root / "README.md").write_text("# Name\n\n## How do I, `uflow`?\n\n```sh\n# no [x](heading.md)\n```\n")
        (root / BOOK / "SUMMARY.md").write_text("# Summary\n\n- [A](a.md)\n")
        github = "https://github.com/uflow-rs/uflow/blob/main/"
        right = ["a.md", "#a", f"{github}README.md#how-do-i-uflow", f"{github}docs", "https://example.com/x"]
        wrong = ["b.md", "#b", "a.md#name", f"{github}README.md#no-xheadingmd", f"{github}x", "../../README.md"]
        (root / BOOK / "a.md").write_text("# A\n\n" + "".join(f"[x]({link}) `[x](y.md)`\n" for link in right + wrong))
        (root / BOOK / "c.md").write_text("# C\n")
        said = list(check(root, [root / "README.md", root / BOOK / "a.md"]))
        assert [line.split("`")[1] for line in said[:-1]] == wrong, said
        assert said[-1].startswith("docs/src/c.md: is 0 times"), said


def main():
    if sys.argv[1:] == ["--test"]:
        test()
        return 0
    found = list(check(ROOT, documents()))
    print("".join(f"{line}\n" for line in found), end="")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
