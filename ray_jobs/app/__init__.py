"""The local web page of a trained model: files are dropped, and the answers seen."""
