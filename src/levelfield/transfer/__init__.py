"""What pre-training is worth elsewhere: backbones to start from, fine-tuning recipes, probes of frozen features."""
