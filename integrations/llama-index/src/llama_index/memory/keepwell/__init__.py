"""LlamaIndex's door to keepwell: memory that is kept in your own PostgreSQL."""

from llama_index.memory.keepwell.memory import KeepwellMemory
from llama_index.memory.keepwell.messages import to_chat_message, to_message

__all__ = ["KeepwellMemory", "to_chat_message", "to_message"]
