"""Networks for other programs: ONNX, PyTorch, scikit-learn and C. The methods of `Network` call these modules."""
