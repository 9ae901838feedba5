"""Hooks of MkDocs: pages of the site that are files elsewhere in the repository.

README.md becomes the home page. Every other file outside of docs/ that a page links to becomes a page below code/, so
that links into the code work on a site that is built without network, as they do in a checkout.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")  # the target of a Markdown link, neither an address nor an anchor
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".cff": "yaml"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of files outside of docs/."""
    docs = Path(config.docs_dir)
    sources = {f"docs/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    sources |= {name: (ROOT / name).read_text("utf-8") for name in PAGES}
    linked = {target for name, text in sources.items() for target in targets(name, text)}
    for name in sorted(PAGES.keys() | {target for target in linked if not target.startswith("docs/")}):
        path = ROOT / name
        if path.is_file():
            text = path.read_text("utf-8")
            content = for_site(name, text) if name in PAGES else code_page(name, text)
            files.append(File.generated(config, site_path(name), content=content))
    for file in files.documentation_pages():
        if file.abs_src_path and Path(file.abs_src_path).is_relative_to(docs):
            file.content_string = for_site(f"docs/{file.src_uri}", file.content_string)
    return files


def targets(source: str, text: str) -> list[str]:
    """List what the links of a file lead to, as paths from the root of the repository."""
    return [resolve(source, link) for link in LINK.findall(without_code(text))]


def resolve(source: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def without_code(text: str) -> str:
    """Leave out code blocks and inline code, in which brackets are no links."""
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)


def site_path(name: str) -> str:
    """Return the place of a file of the repository on the site."""
    if name in PAGES:
        return PAGES[name]
    return name.removeprefix("docs/") if name.startswith("docs/") else f"code/{name}.md"


def for_site(source: str, text: str) -> str:
    """Replace the targets of links by their places on the site."""
    here = posixpath.dirname(site_path(source))

    def replace(link: re.Match[str]) -> str:
        return posixpath.relpath(site_path(resolve(source, link[0])), here or ".")

    return LINK.sub(replace, text)


def code_page(name: str, text: str) -> str:
    return f"# {name}\n\n````{LANGUAGES.get(Path(name).suffix, 'text')}\n{text}\n````\n"
