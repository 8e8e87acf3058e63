"""Bronze: everything that arrived, as it arrived, bad rows too."""
