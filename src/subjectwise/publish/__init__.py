"""What makes a model folder fit for others: model card, upload."""
