"""A ladder whose sizes somebody typed: some rungs have one, and the largest budget ends beside the optimum."""

TYPED_LADDER = """\
name = "typed"
question = "A list that somebody typed: what does it leave open?"

[data] # two digits over soft noise; little distortion, so that ten thousand images teach something
source = "digit-pairs"
noise_contrast = 0.05
max_rotation_deg = 5.0
max_shift = 0.02
max_scale = 1.05
label_noise = 0.05

[ladder] # training FLOPs of one run; 1.3 decades
budgets = [4.75e9, 1.52e10, 4e10, 9.5e10]
batch_coefficient = 0.25
max_steps = 580

[[families]]
name = "nfnet"
recipe = "nfnet-short"
sizes = [
  "nfnet:w6-d1x1-s4", "nfnet:w8-d1x1-s4", "nfnet:w12-d1x1-s4",
  "nfnet:w20-d1x1-s4", "nfnet:w32-d1x1-s4",
]
base_lr = { low = 0.025, start = 0.2, high = 1.6 }
lr_batch_exponent = 0.0 # adaptive clipping bounds the step, whatever the batch

[families.axes]
batch = { field = "batch_factor", values = [0.5, 1, 2] }

[[families]]
name = "vit"
recipe = "vit-short"
sizes = [
  "vit:w8-d1-p8", "vit:w12-d1-p8", "vit:w16-d1-p8", "vit:w24-d1-p8",
  "vit:w28-d1-p8", "vit:w40-d1-p8", "vit:w32-d2-p8", "vit:w44-d1-p8",
]
base_lr = { low = 0.008, start = 0.064, high = 0.512 }
lr_batch_exponent = 0.5

[families.axes]
batch = { field = "batch_factor", values = [0.5, 1, 2] }

[search]
check_budgets = [1.52e10]

[verdict]
margin = 0.05
control_budget = 4.75e9
"""
