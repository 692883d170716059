"""Hooks of MkDocs for the documentation site: ``mkdocs build`` writes it to ``site/``.

They add the pages that are not files of ``docs/``, and turn relative links between files of the repository, which work
on GitHub, into links between pages of the site or to the repository.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import mlptrain
from mlptrain.cli.commands import COMMANDS
from mlptrain.cli.program import load_command

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {
    "index.md": "README.md",
    "lab1.md": "configs/lab1/README.md",
    "lab2.md": "configs/lab2/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changes.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
}
"""Pages that are files outside ``docs/``."""

GALLERY = "Every plot and picture of these pages. Each leads to the section that explains it and has its command.\n"
STYLE = ".md-typeset td:first-child code { white-space: nowrap }"
FENCED = re.compile("(```.*?```)", re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not files of ``docs/``."""
    for name, source in SOURCES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    pages = sorted(files.documentation_pages(), key=lambda file: file.src_uri != "index.md")
    texts = {file.src_uri: file.content_string for file in pages}
    generated = {
        "commands.md": command_reference(),
        "reference.md": python_reference(),
        "gallery.md": gallery(texts, config.mdx_configs["toc"]["slugify"]),
    }
    for name, content in generated.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the text of a page with the links of the site; unfold Markdown below ``<details>`` as GitHub does."""
    folder = posixpath.dirname(SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}"))
    pages = {source: name for name, source in SOURCES.items()}

    def linked(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[1]))
        file = files.get_file_from_path(pages.get(path, path.removeprefix("docs/")))
        if file and file.inclusion.is_included():
            return f"]({file.src_uri}"
        return f"]({config.repo_url}/blob/main/{path}" if (ROOT / path).exists() else match[0]

    pieces = FENCED.split(markdown)
    pieces[::2] = [re.sub(r"\]\((?!\w+:)([^)\s#]+)", linked, piece) for piece in pieces[::2]]
    return "".join(pieces).replace("<details>", "<details markdown>")


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Return a page whose tables keep names whole, and whose script does not ask GitHub for the number of stars."""
    return output.replace('data-md-component="source"', "").replace("</head>", f"<style>{STYLE}</style></head>")


def gallery(texts: Mapping[str, str], slugify: Callable[[str, str], str]) -> str:
    """Return a page with every picture of the other pages, each with a link to its section."""
    cards = {}
    for name, text in texts.items():
        heading = ""
        for title, caption, target in re.findall(r"^#+ (.+)$|!\[(.+?)\]\((\S+?)\)", FENCED.sub("", text), re.MULTILINE):
            heading = title or heading
            picture = target.rpartition("docs/")[2]
            if target and picture not in cards:
                section = f"{name}#{slugify(heading, '-')}"
                cards[picture] = f"-   [![{caption}]({picture})]({section})\n\n    [{caption}]({section})\n"
    return "\n".join(["# Gallery\n", GALLERY, '<div class="grid cards" markdown>\n', *cards.values(), "</div>\n"])


def python_reference() -> str:
    """Return a page in which mkdocstrings describes the public names, functions before classes."""
    names = sorted(mlptrain.__all__, key=lambda name: name[0].isupper())
    described = [f"::: mlptrain.{name}\n" for name in names if name != "__version__"]
    return "\n".join(["# Python reference\n", "[Python](python.md) explains these names with examples.\n", *described])


def command_reference() -> str:
    """Return a page with the help of every command."""
    return "\n".join(["# Commands\n", *(_section(name, load_command(name)) for name in COMMANDS)])


def _section(name: str, command: Any) -> str:
    """Return the help of a command as Markdown."""
    context = command.make_context(f"mlptrain {name}", [], resilient_parsing=True)
    usage = " ".join([context.info_name, *command.collect_usage_pieces(context)])
    text, _, example = cleandoc(command.help).partition("\n\nExample: ")
    lines = [f"## {name}", "", text, "", "```text", usage, "```"]
    tables: dict[str, list[str]] = {"argument": [], "option": []}
    for parameter in command.get_params(context):
        kind = parameter.param_type_name
        names, described = parameter.get_help_record(context)
        escaped = described.replace("*", r"\*").replace("|", r"\|")
        tables[kind].append(f"| `{parameter.metavar if kind == 'argument' else names}` | {escaped} |")
    for kind, rows in tables.items():
        lines += ["", f"| {kind} | description |", "|---|---|", *rows] if rows else []
    lines += ["", "Example:", "", "```bash", example, "```"] if example else []
    return "\n".join([*lines, ""])
