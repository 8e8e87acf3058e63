"""What grows with the years: a simulated lake of months and one of years, and what looking at them costs."""
