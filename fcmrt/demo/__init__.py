"""The demo: a photo through a split detector, with and without the codec in between."""
