"""Tables of what arrived, as it arrived."""
