"""The needs of an environment of the airline beside its settings.

The settings stand in pyproject.toml. Today there is nothing else.
"""
