"""Give a project's tests frames of literals, whole lakes and laws.

Every table obeys the laws.
"""
