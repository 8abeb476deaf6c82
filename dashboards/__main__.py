"""`python -m dashboards`: write all files anew."""

from dashboards.generate import files

for path, content in files().items():
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
