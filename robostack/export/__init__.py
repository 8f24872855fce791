"""From a trained actor to `policy.onnx`, from that file alone to C, and the proof that all ports agree."""
