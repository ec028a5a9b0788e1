"""The tokenizer's published vocabularies, shipped with the package: gzipped, checked by digest when loaded.

To add one: its file here, a line in FILES, its pattern and digest in ``gateway.metering.count``.
"""

from typing import Final

FILES: Final = {
    "o200k_base": "o200k_base.tiktoken.gz",
    "cl100k_base": "cl100k_base.tiktoken.gz",
}
