"""The airline's pages of the dashboard: the network now, airports, carriers, worst routes, and a flight."""
