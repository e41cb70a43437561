"""Write every page of the reference: ``python -m docs.generator``."""

from docs.generator.pages import FOLDER, pages

for name, text in pages().items():
    (FOLDER / name).write_text(text, encoding="utf-8")
