"""What a robot runs: a policy, its safety envelope, the controller that joins them, and a fixed-rate loop.

Needs numpy and ONNX Runtime, never a trainer.
"""
