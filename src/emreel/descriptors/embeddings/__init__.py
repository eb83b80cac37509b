"""What a chip is turned into: by emreel's own measures, by an ONNX network, or by a ResNet's state dict."""
