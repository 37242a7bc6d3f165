# SPDX-License-Identifier: Apache-2.0
"""ONNX import: a model file read, checked, made static, and its exporter's habits taken away (Graph, then Network)."""
