"""What the tests of a project use: frames of literals, whole lakes, and the laws that every table obeys."""
