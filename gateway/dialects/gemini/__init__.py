"""The Gemini protocol, as the Gemini API and Vertex AI speak it; one module per operation.

To add an operation: a module here with its reader and constant, and a line below.
"""

from gateway.dialects.gemini.embed import EMBED
from gateway.dialects.gemini.generate import GENERATE
from gateway.dialects.gemini.interactions import INTERACTIONS
from gateway.dialects.gemini.live import LIVE
from gateway.dialects.gemini.predict import PREDICT

__all__ = ["EMBED", "GENERATE", "INTERACTIONS", "LIVE", "PREDICT"]
