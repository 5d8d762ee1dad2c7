"""Any network of timm's as a competitor: built by timm, counted by tracing, trained by our rules."""
