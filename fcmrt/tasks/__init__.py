"""Task networks cut in two, to measure what a codec does to the task."""
