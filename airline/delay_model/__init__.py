"""Train, measure and deliver the model of late departures.

It is trained on features as of a version, measured on later days, and delivered as JSON.
"""
