"""The PyTorch engine, and the forward pass that training shares with it."""
