"""Training of L-MSFC on a detector's features: `python -m fcmrt.export.train --help`."""
