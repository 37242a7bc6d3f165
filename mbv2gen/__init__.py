"""mbv2gen: an ahead-of-time compiler from a trained MobileNetV2 in ONNX to int8 C for microcontrollers."""

__version__ = "0.1.0"
