"""How pictures are changed while a network is trained: drawn by (seed, epoch, example) alone, never by batch or worker.

One file a kind; each takes its random bits as arguments. What an example becomes depends on its augmentation key (see
:meth:`levelfield.data.order.Order.augment_keys`) and its id, and what a block of positions is mixed to on the block.
"""
