"""The model of late departures: trained on features as of a version, measured on later days, delivered as JSON."""
