"""Training of codecs on the features of task networks: `python -m fcmrt.export.train --help`."""
