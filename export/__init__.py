"""From a trained PyTorch codec to an engine file. Needs the `export` extra (torch, onnx)."""
