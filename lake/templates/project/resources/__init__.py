"""The needs of an environment beside its settings in pyproject.toml.

There are none so far.
"""
