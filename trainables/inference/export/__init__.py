"""Export of trained networks: safetensors, torch.export and ONNX, each with a card that says how to use them."""
