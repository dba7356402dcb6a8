"""Does the index that pip would ask answer? The exit code says so."""
import os
import urllib.request

index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
urllib.request.urlopen(index + "/ollama/", timeout=30).read(1)
