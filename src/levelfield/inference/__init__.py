"""What a trained network says of images: its answers to pictures, and its scores on labelled ones."""
